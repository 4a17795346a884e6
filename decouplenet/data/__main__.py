"""`python -m decouplenet.data check`: summarise a data set and name its faults before a run.

The exit code is 1 if a fault would stop a run or make its results wrong.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from decouplenet.command_line import CommandParser, command_name, flag, parse_config, print_line, run
from decouplenet.errors import InputError
from decouplenet.wording import counted

if TYPE_CHECKING:
    from decouplenet.data.check import Findings


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The command's own flags."""

    json: bool = flag(False)
    """Print only JSON to stdout."""
    no_decode: bool = flag(False)
    """Check only the labels and whether the files are there, without reading the images."""
    fix: str | None = flag(None)
    """Write the usable images with what was understood (path, labels, split) to this csv, and the classes beside it."""


def parser() -> CommandParser[Flags]:
    """The command's flags and all config keys. Only `data.*` keys have an effect."""
    return CommandParser(
        command_name("check", "decouplenet.data check"),
        "Read the labels, decode every image and compare the splits. The exit code is 1 if a fault would stop a run "
        "or make its results wrong.",
        Flags,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] not in (["check"], ["--help"], ["-h"]):
        raise InputError("python -m decouplenet.data: 'check' is needed before the flags")
    line = parser().given(arguments[1:] if arguments[0] == "check" else arguments)
    config = parse_config({key: value for key, value in line.keys.items() if key.startswith("data.")})

    from decouplenet.data.check import check

    with _progress() as progress:
        checked = check(config.data, progress, decode=not line.flags.no_decode)
    findings = checked.findings
    print_line(json.dumps(asdict(findings), indent=1) if line.flags.json else _text(findings))
    if line.flags.fix and checked.sets:
        from decouplenet.data.clean_table import write_clean_table

        file = Path(line.flags.fix).expanduser()
        written = write_clean_table(file, checked.sets, checked.unusable)
        flags = (
            f"--data.format table --data.train_annotations {file} --data.classes {written.classes} "
            f"--data.label_separator '{written.separator}'"
        )
        print(f"wrote {counted(written.images, 'image')} to {file}; read it with {flags}", file=sys.stderr)  # noqa: T201
    return 1 if findings.faults else 0


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Context that gives a function to show progress: a bar if stderr is a terminal, else nothing."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("decoding")
        yield lambda done, count: bar.update(task, completed=done, total=count)


def _text(findings: Findings) -> str:
    lines = []
    for split, summary in findings.splits.items():
        images, counts = summary["images"], summary["labels_per_image"]
        labels = sum(number * count for number, count in enumerate(counts))
        lines.append(f"{split:<6}{images} images, {labels / max(images, 1):.2f} labels per image")
        lines.append(f"      labels: images  {'  '.join(f'{i}: {n}' for i, n in enumerate(counts) if n)}")
    if findings.class_names:
        lines += ["", *_class_table(findings), ""]
    lines += [f"note   {note}" for note in findings.notes]
    lines += [f"fault  {fault}" for fault in findings.faults]
    n = len(findings.faults)
    lines.append(counted(n, "fault") if n else "no fault found")
    return "\n".join(lines)


def _class_table(findings: Findings) -> list[str]:
    """The lines of a table of the classes: for each split the number of images and their percentage."""
    width = max(map(len, findings.class_names))
    heads = "".join(f"{split:>10}{'%':>7}" for split in findings.splits)
    lines = [f"{'':>4}  {'class':<{width}}{heads}"]
    for number, name in enumerate(findings.class_names):
        cells = ""
        for summary in findings.splits.values():
            count = summary["class_counts"][name]
            cells += f"{count:>10}{100 * count / max(summary['images'], 1):>7.2f}"
        lines.append(f"{number:>4}  {name:<{width}}{cells}")
    return lines


if __name__ == "__main__":
    sys.exit(run(main))
