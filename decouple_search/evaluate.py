"""`python -m decouple_search.evaluate`: the paper's measures of a checkpoint, or of several as an ensemble.

This module reads the command line and prints the measures. The room `evaluation/` makes them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from decouple_search.evaluation.member import (
    EnsembleMember,
    check_scoring,
    check_thresholds,
    kept_checkpoints,
    open_member,
)
from decouplenet.checkpoint_files import CONFIG
from decouplenet.command_line import CommandParser, command_name, flag, parse_config, print_line, run
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError
from decouplenet.yaml_text import load_yaml


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The command's own flags."""

    checkpoint: list[str] = flag([])
    """Checkpoint folders or URIs."""
    experiment: str | None = flag(None)
    """A search's folder or URI: all checkpoints that it kept."""
    split: str = flag("val")
    """The images to measure on: val, train or test."""
    compare: str | None = flag(None)
    """paper: beside the rows of its tables; trainings that differ only in their seed are one row."""
    thresholds: str | None = flag(None)
    """File of thresholds per class, in place of 0.5."""
    tune_thresholds: str | None = flag(None)
    """File to write: the thresholds with the highest F1 on these images."""
    workers: int | None = flag(None, minimum=1)
    """Number of workers; default: all that fit."""
    cluster: str | None = flag(None)
    """File of `ray up` or KubeRay: the machines that may be added."""
    json: bool = flag(False)
    """Print JSON, and nothing else, to stdout."""


def parser() -> CommandParser[Flags]:
    """The command's flags and all config keys."""
    return CommandParser(
        command_name("evaluate", "decouple_search.evaluate"),
        "Measure checkpoints on the data of their own config, unless data keys given here say otherwise. Several "
        "checkpoints are an ensemble: its scores are the mean of theirs.",
        Flags,
    )


def read(arguments: list[str] | None, stack: contextlib.ExitStack) -> tuple[list[EnsembleMember], Flags]:
    """The checkpoints and the command's own flags, checked; the stack holds what is fetched for them.

    Raises:
        InputError: what is wrong, and where.
    """
    line = parser().given(arguments)
    flags, keys = line.flags, line.keys
    places = flags.checkpoint + kept_checkpoints(flags.experiment, stack)
    if not places:
        raise InputError("--checkpoint: not given; name the folder of a checkpoint, or several")
    _check_flags(flags)
    members = [open_member(place, keys, stack) for place in places]
    _check_files(members, flags)
    return members, flags


def _check_flags(flags: Flags) -> None:
    if flags.compare not in (None, "paper"):
        raise InputError(f"--compare: '{flags.compare}' is unknown; valid: paper")
    if flags.compare and flags.thresholds:
        raise InputError("--thresholds: the paper's measures are at 0.5; leave out --thresholds or --compare")
    if flags.thresholds and flags.tune_thresholds:
        raise InputError("--tune-thresholds: --thresholds is given too; tune on one set of images and use on another")
    check_scoring(split=flags.split, workers=flags.workers)


def _check_files(members: list[EnsembleMember], flags: Flags) -> None:
    """Refuse, before anything is scored, what could only fail afterwards."""
    if flags.tune_thresholds:
        file = Path(flags.tune_thresholds).expanduser()
        if file.is_dir() or not os.access(file if file.exists() else file.absolute().parent, os.W_OK):
            raise InputError(f"--tune-thresholds: '{file}' cannot be written; give another file")
    check_thresholds(members, flags.thresholds)
    if flags.compare:
        from decouple_search.evaluation.paper_tables import check_comparable
        from decouplenet.checkpoint_header import class_names

        configs = [parse_config(flatten(load_yaml(member.folder / CONFIG))) for member in members]
        check_comparable(configs, len(class_names(members[0].folder)))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    with contextlib.ExitStack() as stack:
        members, flags = read(arguments, stack)

        from decouple_search.evaluation.scoring import score_all  # Ray takes seconds to import

        with contextlib.redirect_stdout(sys.stderr) if flags.json else contextlib.nullcontext():
            scored = score_all(members, split=flags.split, workers=flags.workers, cluster=flags.cluster)
    from decouple_search.evaluation.measures import head, measure, table

    measured = measure(
        [member.name for member in members],
        scored,
        split=flags.split,
        thresholds=flags.thresholds,
        tune=flags.tune_thresholds,
    )
    shown = table(measured)
    if flags.compare:
        from decouple_search.evaluation.paper_tables import compare, text

        rows = compare(scored.trained, scored.scores, scored.images)
        measured = {**measured, "compare": [row.to_dict() for row in rows]}
        shown = f"{head(measured)}\n{text(rows, len(scored.images.class_names))}"
    print_line(json.dumps(measured, indent=1) if flags.json else shown)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
