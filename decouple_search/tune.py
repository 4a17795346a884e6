"""`python -m decouple_search.tune`: search a space, and write what was found. `api.search` is the same in Python."""

from __future__ import annotations

import sys

from decouple_search.dry_run import dry_run
from decouple_search.machines.cost import read_prices
from decouple_search.machines.manifest import read_cluster
from decouple_search.options import Options, SearchRequest, request_search
from decouple_search.runs import run_search
from decouple_search.space.shipped import space_file
from decouple_search.space.yaml_file import load_space
from decouplenet.command_line import CommandParser, command_name, run


def parser() -> CommandParser[Options]:
    """The command's flags and all config keys."""
    return CommandParser(
        command_name("tune", "decouple_search.tune"),
        "Search the hyperparameters of DecoupleNet with Optuna on Ray Tune. Config keys given here win over the "
        "space's base. A searched key given here is fixed.",
        Options,
    )


def read(arguments: list[str] | None) -> SearchRequest:
    """The search that a command line asks for, checked.

    Raises:
        InputError: what is wrong, and where.
    """
    line = parser().given(arguments)
    words = sys.argv[1:] if arguments is None else arguments
    return request_search(load_space(space_file(line.flags.space), line.flags.keys_given(line.keys)), line.flags, words)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    request = read(arguments)
    options = request.options
    limits = read_cluster(options.cluster) if options.cluster else None
    prices = read_prices(options.prices, limits)
    if options.dry_run:
        return dry_run(request, limits, prices)
    return 130 if run_search(request).interrupted else 0


if __name__ == "__main__":
    sys.exit(run(main))
