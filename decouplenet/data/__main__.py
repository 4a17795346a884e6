"""`python -m decouplenet.data check`: what a data set holds and what is wrong with it, before a run.

Exit code 1 when something would stop a run or make its figures wrong.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from decouplenet.command_line import CommandParser, parse_config, print_line, run
from decouplenet.errors import InputError

if TYPE_CHECKING:
    from decouplenet.data.check import Findings


def parser() -> CommandParser:
    """The command's flags and all config keys, of which `data.*` are used."""
    parser = CommandParser(
        "python -m decouplenet.data check",
        "Read the labels, decode every image and compare the splits; exit code 1 when something would stop a run or "
        "make its figures wrong.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, to stdout")
    parser.add_config_keys()
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] not in (["check"], ["--help"], ["-h"]):
        raise InputError("python -m decouplenet.data: 'check' is needed before the flags")
    own, keys = parser().given(arguments[1:] if arguments[0] == "check" else arguments)
    config = parse_config({key: value for key, value in keys.items() if key.startswith("data.")})

    from decouplenet.data.check import check

    with _progress() as progress:
        found = check(config.data, progress)
    print_line(json.dumps(asdict(found), indent=1) if own["json"] else _text(found))
    return 1 if found.faults else 0


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal's stderr; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("decoding")
        yield lambda done, count: bar.update(task, completed=done, total=count)


def _text(found: Findings) -> str:
    lines = []
    for split, facts in found.splits.items():
        images, counts = facts["images"], facts["labels_per_image"]
        labels = sum(number * count for number, count in enumerate(counts))
        lines.append(f"{split:<6}{images} images, {labels / max(images, 1):.2f} labels an image")
        lines.append(f"      labels: images  {'  '.join(f'{i}: {n}' for i, n in enumerate(counts) if n)}")
    if found.class_names:
        width = max(map(len, found.class_names))
        heads = "".join(f"{split:>10}{'%':>7}" for split in found.splits)
        lines.append(f"\n{'':>4}  {'class':<{width}}{heads}")
        for number, name in enumerate(found.class_names):
            cells = ""
            for facts in found.splits.values():
                count = facts["class_counts"][name]
                cells += f"{count:>10}{100 * count / max(facts['images'], 1):>7.2f}"
            lines.append(f"{number:>4}  {name:<{width}}{cells}")
        lines.append("")
    lines += [f"note   {note}" for note in found.notes]
    lines += [f"fault  {fault}" for fault in found.faults]
    n = len(found.faults)
    lines.append(f"{n} fault{'s' * (n != 1)}" if n else "no fault found")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run(main))
