"""`decouple-search COMMAND`, or `python -m decouple_search COMMAND`: every command of both packages by its name.

A command is imported only when it is chosen, so the list of commands appears at once.
"""

from __future__ import annotations

import importlib
import sys
from typing import NamedTuple

from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError


class Command(NamedTuple):
    """A command of the program."""

    module: str
    """The module whose `main` runs it."""
    purpose: str
    """What it does, in one line."""
    first_words: tuple[str, ...] = ()
    """The words that its `main` needs before the flags."""


COMMANDS: dict[str, Command] = {
    "tune": Command("decouple_search.tune", "search hyperparameters with Optuna on Ray Tune"),
    "train": Command("decouple_search.train", "train one configuration in full with Ray Train"),
    "evaluate": Command("decouple_search.evaluate", "measure checkpoints, alone and as an ensemble"),
    "report": Command("decouple_search.report", "print the results of a search and write report.html"),
    "predict": Command("decouplenet.predict", "label photos with a checkpoint and draw heat maps"),
    "check": Command("decouplenet.data.__main__", "check a data set before a run and name its faults", ("check",)),
}
"""The commands by name."""
ABOUT = ("--help", "-h", "--version")
"""Flags of the program itself."""


def usage() -> str:
    """The text of `--help`."""
    width = max(map(len, COMMANDS))
    commands = [f"  {name:<{width}}  {command.purpose}" for name, command in COMMANDS.items()]
    program = "decouple-search"
    return "\n".join(
        [
            f"usage: {program} COMMAND [flags]",
            "",
            "Distributed hyperparameter search for multi-label image classifiers.",
            "",
            "commands:",
            *commands,
            "",
            f"`{program} COMMAND --help` lists the flags of a command, `{program} --version` prints the version.",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Run a command, or list the commands. Returns the exit code.

    Args:
        arguments: the command's name and the words after it; by default those of this process.

    Raises:
        InputError: there is no such command, or the command refuses its input.
    """
    name, *words = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ABOUT:
        print(f"decouple-search {_version()}" if name == "--version" else usage())  # noqa: T201
        return 0
    if name not in COMMANDS:
        hint = f"a command goes before the flags: {', '.join(COMMANDS)}" if name[:1] == "-" else nearest(name, COMMANDS)
        raise InputError(f"unknown command '{name}'; {hint}")
    command = COMMANDS[name]
    code: int = importlib.import_module(command.module).main([*command.first_words, *words])
    return code


def _version() -> str:
    from importlib.metadata import PackageNotFoundError

    import decouplenet

    try:
        return decouplenet.__version__
    except PackageNotFoundError:
        return "(not installed)"


def start() -> int:
    """Run the command of this process. The console script calls this; returns the exit code."""
    if not sys.argv[1:] or sys.argv[1] in ABOUT:
        return main()
    from decouplenet.command_line import run  # takes half a second to import, and the list of commands needs none of it

    return run(main)


if __name__ == "__main__":
    sys.exit(start())
