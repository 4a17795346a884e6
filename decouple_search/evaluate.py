"""`python -m decouple_search.evaluate`: the paper's measures of one checkpoint, or of several as an ensemble.

Only reads the command line and shows what was measured; `evaluation.py` does the work.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from decouple_search.portable import self_contained
from decouple_search.storage.folder import folder_at, open_checkpoint
from decouplenet.command_line import CommandParser, parse_config, print_line, run
from decouplenet.config import Config, flatten, load_yaml
from decouplenet.errors import InputError

USED = ("data.", "scaling.", "train.batch_size", "train.precision")
"""Beginnings of the keys that an evaluation depends on."""

MACHINE = ("scaling.cpus_per_worker", "scaling.gpus_per_worker", "scaling.placement_strategy")


def parser() -> CommandParser:
    """The command's flags and all config keys."""
    parser = CommandParser(
        "python -m decouple_search.evaluate",
        "Measure checkpoints on the data of their own config, unless data keys given here say otherwise; several are "
        "an ensemble, whose scores are the mean of theirs.",
    )
    parser.add_argument("--checkpoint", type=str, nargs="+", default=[], help="checkpoint folders, here or as URIs")
    parser.add_argument(
        "--experiment", type=str | None, default=None, help="a search's folder or URI: all checkpoints that it kept"
    )
    parser.add_argument("--split", type=str, default="val", help="val or train: the images to measure on")
    parser.add_argument(
        "--compare",
        type=str | None,
        default=None,
        help="paper: beside its tables' rows; trainings that differ in their seed alone are one",
    )
    parser.add_argument(
        "--thresholds", type=str | None, default=None, help="file of thresholds a class, in place of 0.5"
    )
    parser.add_argument(
        "--tune-thresholds",
        type=str | None,
        default=None,
        help="file to write thresholds to that have the highest F1 on these images",
    )
    parser.add_argument("--workers", type=int | None, default=None, help="workers; default: all that fit")
    parser.add_argument(
        "--cluster", type=str | None, default=None, help="file of `ray up` or KubeRay: machines that may be added"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, to stdout")
    parser.add_config_keys()
    return parser


class Member(NamedTuple):
    """A checkpoint to measure."""

    name: str
    """What the user calls it."""
    folder: Path
    """Where it is on this machine."""
    config: Config
    """The config to measure it by."""


def read(arguments: list[str] | None, stack: contextlib.ExitStack) -> tuple[list[Member], dict[str, Any]]:
    """The checkpoints and the command's own flags, all checked; the stack holds what is fetched for them.

    Raises:
        InputError: what is wrong, and where.
    """
    own, keys = parser().given(arguments)
    places = own["checkpoint"] + _kept(own["experiment"], stack)
    if not places:
        raise InputError("--checkpoint: not given; name the folder of a checkpoint, or several")
    if own["compare"] not in (None, "paper"):
        raise InputError(f"--compare: '{own['compare']}' is unknown; valid: paper")
    if own["compare"] and own["thresholds"]:
        raise InputError("--thresholds: the paper's measures are at 0.5; leave out --thresholds or --compare")
    if own["thresholds"] and own["tune_thresholds"]:
        raise InputError("--tune-thresholds: --thresholds is given too; tune on one set of images and use on another")
    if own["split"] not in ("val", "train"):
        raise InputError(f"--split: '{own['split']}' is neither val nor train")
    if own["workers"] is not None and own["workers"] < 1:
        raise InputError(f"--workers: {own['workers']} is out of range; it must be at least 1")
    used = {key: value for key, value in keys.items() if key.startswith(USED)}
    members = []
    for place in places:
        name, folder = open_checkpoint(place, stack)
        file = folder / "config.yaml"
        if not file.is_file():
            raise InputError(
                f"--checkpoint: '{name}' has no config.yaml; give a folder that a search or training wrote"
            )
        kept = flatten(load_yaml(file))
        for key in keys.keys() - used.keys():
            if key not in kept or keys[key] != kept[key]:
                raise InputError(
                    f"{key}: is the checkpoint's own ({kept.get(key)} in {name}); an evaluation cannot change it"
                )
        # What it was trained on does not bind: a cluster's checkpoint is measured on a laptop too.
        kept = {key: value for key, value in kept.items() if key not in MACHINE}
        members.append(Member(name, folder, self_contained(parse_config(kept | used, f"{name}/config.yaml"))))
    _check_files(members, own)
    return members, own


def _check_files(members: list[Member], own: dict[str, Any]) -> None:
    """Refuse before anything is scored what could only fail after it."""
    if own["tune_thresholds"]:
        file = Path(own["tune_thresholds"]).expanduser()
        if file.is_dir() or not os.access(file if file.exists() else file.absolute().parent, os.W_OK):
            raise InputError(f"--tune-thresholds: '{file}' cannot be written; give another file")
    if own["thresholds"] or own["compare"]:
        from decouple_search.evaluation.paper_tables import (
            check_comparable,  # torch takes seconds to import, and a plain line needs none
        )
        from decouplenet.checkpoint import class_names
        from decouplenet.thresholds import read_thresholds

        names = class_names(members[0].folder)
        if own["thresholds"]:
            read_thresholds(own["thresholds"], names)
        if own["compare"]:
            configs = [parse_config(flatten(load_yaml(member.folder / "config.yaml"))) for member in members]
            check_comparable(configs, len(names))


def _kept(experiment: str | None, stack: contextlib.ExitStack) -> list[str]:
    """A checkpoint of each trial of a search that kept one: of ended ones their best."""
    if experiment is None:
        return []
    from decouple_search.storage.checkpoints import Checkpoints

    folder = stack.enter_context(folder_at(experiment))
    checkpoints = Checkpoints(folder)
    whole = [[place for place in places if checkpoints.is_whole(place)] for places in checkpoints.all().values()]
    found = [places[-1] for places in whole if places]
    if not found:
        raise InputError(f"--experiment: '{folder.shown}' has no checkpoints in trials/; give the folder of a search")
    return [folder.child(place.removeprefix(f"{folder.opened[1]}/")).uri for place in found]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    with contextlib.ExitStack() as stack:
        members, own = read(arguments, stack)

        from decouple_search.evaluation.scoring import (
            score_all,  # Ray takes seconds to import; nothing before this needs it
        )

        with contextlib.redirect_stdout(sys.stderr) if own["json"] else contextlib.nullcontext():
            scored = score_all(members, split=own["split"], workers=own["workers"], cluster=own["cluster"])
    from decouple_search.evaluation.measures import head, measure, table

    measured = measure(
        [member.name for member in members],
        scored,
        split=own["split"],
        thresholds=own["thresholds"],
        tune=own["tune_thresholds"],
    )
    if own["compare"]:
        from decouple_search.evaluation.paper_tables import compare, text

        rows = compare(scored.trained, scored.scores, scored.images)
        measured = {**measured, "compare": [{k: v for k, v in row.items() if k != "key"} for row in rows]}
        beside = text(rows, len(scored.images.class_names))
    if own["json"]:
        print_line(json.dumps(measured, indent=1))
    else:
        print_line(table(measured) if not own["compare"] else f"{head(measured)}\n{beside}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
