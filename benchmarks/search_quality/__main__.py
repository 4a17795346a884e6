"""Compare searchers on tables of learning curves, with a simulated clock.

    python -m benchmarks.search_quality [--tables chosen|reported|all|NAME ...] [--slots 1 4 16] [--seeds 30]
                                        [--arms NAME ...] [--peers-python PYTHON ...] [--lcbench DIR]
                                        [--table FILE] [--out FILE] [--plot FILE]
    python -m benchmarks.search_quality --report FILE ...

Each search is driven by its own package through its own ask and tell, with its documented defaults, and starts from
nothing. The figures are epochs over all trials and simulated seconds until a trial reaches a share of the table's best
value. `make peers` installs the pinned environments of the peers.
"""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.search_quality import arms
from benchmarks.search_quality.plot import plot
from benchmarks.search_quality.printed import report
from benchmarks.search_quality.runs import Limits, Record, Run, read_records, run_all
from benchmarks.search_quality.surrogate import SurrogateTable
from benchmarks.search_quality.table import Table
from benchmarks.search_quality.tables import RECORDED, Sources, chosen_names, make_table
from decouplenet.command_line import CommandParser, flag, run
from decouplenet.errors import InputError

WITHOUT_PEERS = ("ours", "Ray OptunaSearch + ASHA", "Ray random + ASHA", "random")
"""The default without `--peers-python`."""
TRAININGS = 33
"""The budget of a search, in full trainings: the same number for tables of short and of long curves."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's flags."""

    tables: list[str] = flag([])
    """chosen, reported, all, or names; by default those of --table."""
    table: str = flag(str(RECORDED))
    """Table of trainings, csv, with a surrogate of each kind."""
    lcbench: str | None = flag(None)
    """Folder of LCBench's surrogate; needs onnxruntime."""
    slots: list[int] = flag([1, 4, 16])
    """Numbers of concurrent trials; default: 1 4 16."""
    seeds: int = flag(30, minimum=1)
    """Number of searches per kind."""
    first_seed: int = flag(0, minimum=0)
    """The first search's seed."""
    budget: int | None = flag(None, minimum=1)
    """Number of epochs after which a search stops; default: 33 full trainings. It also stops at 99.5 % of the best."""
    arms: list[str] = flag([], names=arms.NAMES)
    """Kinds of search; default: ours and those of Ray, and all peers with --peers-python."""
    peers_python: list[str] = flag([])
    """Pythons of the peers' environments; each peer runs in the first that has its package. This Python is the last."""
    time_limit: float = flag(1800.0)
    """Seconds that a peer may take for its decisions in one search."""
    processes: int = flag(os.cpu_count() or 1, minimum=1)
    """Number of searches side by side."""
    out: str | None = flag(None)
    """File that records are added to, a line of JSON per search; searches that it has are not run again."""
    report: list[str] = flag([])
    """Files of --out: print their figures and run nothing."""
    held_out: bool = flag(False)
    """Print each surrogate's error on held-out trainings, which takes half a minute."""
    plot: str | None = flag(None)
    """HTML file for a plot of the anytime curves."""


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or print the figures of earlier runs."""
    parser = CommandParser("python -m benchmarks.search_quality", "Compare searchers.", Flags, config_keys=False)
    flags = parser.given(arguments).flags
    records = _read(flags) if flags.report else _run(flags)
    for line in report(records):
        print(line)
    if flags.plot:
        plot(records, Path(flags.plot))
    return 0


def _read(flags: Flags) -> list[Record]:
    files = [Path(file) for file in flags.report]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise InputError(f"--report: no file '{missing[0]}'")
    return read_records(files)


def _run(flags: Flags) -> list[Record]:
    names = flags.arms or [*WITHOUT_PEERS, *(arms.PEER_NAMES if flags.peers_python else ())]
    if unknown := set(names) - set(arms.NAMES):
        raise InputError(f"--arms: unknown '{unknown.pop()}'; valid: {', '.join(arms.NAMES)}")
    tables = _tables(flags)
    limits = Limits(
        pythons=(*flags.peers_python, sys.executable), time_limit=flags.time_limit, processes=flags.processes
    )
    seeds = range(flags.first_seed, flags.first_seed + flags.seeds)
    products = itertools.product(tables, flags.slots, seeds, names)
    budgets = {name: flags.budget or TRAININGS * table.epochs for name, table in tables.items()}
    runs = [Run(table, slots, arm, seed, budgets[table]) for table, slots, seed, arm in products]
    return run_all(runs, tables, limits, Path(flags.out) if flags.out else None, _say)


def _tables(flags: Flags) -> dict[str, Table]:
    lcbench = Path(flags.lcbench) if flags.lcbench else None
    sources = Sources(table=Path(flags.table), lcbench=lcbench)
    names, missing = chosen_names(flags.tables or sources.recorded, sources)
    if missing:
        print(f"left out, because --lcbench is not given: {', '.join(missing)}")
    tables = {}
    for name in names:
        tables[name] = table = make_table(name, sources)
        print(f"{name}: {len(table.space.parameters)} parameters, {table.about}", flush=True)
        if flags.held_out and isinstance(table, SurrogateTable):
            print(f"  mean error of the last epoch on held-out trainings {table.held_out_error():.4f}", flush=True)
    print()
    return tables


def _say(record: Record) -> None:
    """Say how a search ended, on standard error: it is progress."""
    run, last = record.run, record.steps[-1] if record.steps else None
    ended = record.error or (last and f"{last.best / record.best:.1%} of the best after {last.epochs} epochs")
    print(f"{run.table}, {run.slots} slots, {run.arm}, seed {run.seed}: {ended}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(run(main))
