"""`python -m decouple_search.train`: train one configuration, and keep its best and its last checkpoint.

`api.train` is the same in Python.
"""

from __future__ import annotations

import sys

from decouple_search.ray_train.request import TrainOptions, TrainRequest, request_training
from decouple_search.runs import run_training
from decouplenet.command_line import CommandParser, command_name, run


def parser() -> CommandParser[TrainOptions]:
    """The command's flags and all config keys."""
    return CommandParser(
        command_name("train", "decouple_search.train"),
        "Train one configuration, such as a search's best_config.yaml, and keep its best and its last checkpoint.",
        TrainOptions,
    )


def read(arguments: list[str] | None) -> TrainRequest:
    """The training that a command line asks for, checked.

    Raises:
        InputError: what is wrong, and where.
    """
    line = parser().given(arguments)
    return request_training(line.flags, line.keys, line.config_file or "config")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    run_training(read(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
