"""`python -m decouple_search.evaluate`: the paper's measures of one checkpoint, or of several as an ensemble.

Only reads the command line and shows what was measured; `evaluation.py` does the work.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from decouple_search.portable import self_contained
from decouple_search.storage import open_checkpoint
from decouplenet.command_line import CommandParser, parse_config, run, say
from decouplenet.config import Config, flatten, load_yaml
from decouplenet.errors import InputError

USED = ("data.", "scaling.", "train.batch_size", "train.precision")
"""Beginnings of the keys that an evaluation depends on."""

MACHINE = ("scaling.cpus_per_worker", "scaling.gpus_per_worker", "scaling.placement_strategy")

# In the order of the paper's tables.
COLUMNS = {"map": "mAP", "p_c": "P-C", "r_c": "R-C", "f1_c": "F1-C", "p_o": "P-O", "r_o": "R-O", "f1_o": "F1-O"}


def parser() -> CommandParser:
    """The command's flags and all config keys."""
    parser = CommandParser(
        "python -m decouple_search.evaluate",
        "Measure checkpoints on the data of their own config, unless data keys given here say otherwise; several are "
        "an ensemble, whose scores are the mean of theirs.",
    )
    parser.add_argument("--checkpoint", type=str, nargs="+", default=[], help="checkpoint folders, here or as URIs")
    parser.add_argument("--split", type=str, default="val", help="val or train: the images to measure on")
    parser.add_argument("--workers", type=int | None, default=None, help="workers; default: all that fit")
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
    if not own["checkpoint"]:
        raise InputError("--checkpoint: not given; name the folder of a checkpoint, or several")
    if own["split"] not in ("val", "train"):
        raise InputError(f"--split: '{own['split']}' is neither val nor train")
    if own["workers"] is not None and own["workers"] < 1:
        raise InputError(f"--workers: {own['workers']} is out of range; it must be at least 1")
    used = {key: value for key, value in keys.items() if key.startswith(USED)}
    members = []
    for place in own["checkpoint"]:
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
    return members, own


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    with contextlib.ExitStack() as stack:
        members, own = read(arguments, stack)

        from decouple_search.evaluation import evaluate  # Ray takes seconds to import, and nothing before this needs it

        with contextlib.redirect_stdout(sys.stderr) if own["json"] else contextlib.nullcontext():
            measured = evaluate(members, split=own["split"], workers=own["workers"])
    say(json.dumps(measured, indent=1) if own["json"] else table(measured))
    return 0


def table(measured: dict[str, Any]) -> str:
    """What was measured as text: a line a checkpoint and one for the ensemble, in per cent.

    Args:
        measured: as `evaluation.evaluate` returns it.
    """
    rows = [(each["checkpoint"], each) for each in measured["checkpoints"]]
    if len(rows) > 1:
        rows.append(("ensemble", measured))
    width = max(len(name) for name, _ in rows)
    head = f"{'':{width}}" + "".join(f"{title:>8}" for title in COLUMNS.values())
    lines = [f"{name:{width}}" + "".join(f"{100 * row[key]:8.2f}" for key in COLUMNS) for name, row in rows]
    missing = measured["classes_without_positives"]
    notes = (
        [f"mAP leaves out {missing} of {len(measured['class_names'])} classes, which no image has"] if missing else []
    )
    return "\n".join([f"{measured['images']} {measured['split']} images, in per cent", head, *lines, *notes])


if __name__ == "__main__":
    sys.exit(run(main))
