"""Runs of searches: which are to do, how they run side by side, and their records in a file of JSON lines.

A record is written as soon as its search ends, so that a benchmark that was stopped goes on, and its parts can run
separately.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.search_quality import arms
from benchmarks.search_quality.peers.peer import NOT_RUN
from benchmarks.search_quality.peers.remote import PeerError
from benchmarks.search_quality.replay import Step, replay
from benchmarks.search_quality.table import Table

LAST_TARGET = 0.995
"""Share of the best value at which a search has found it and ends."""


class Run(NamedTuple):
    """A search to run."""

    table: str
    slots: int
    arm: str
    seed: int
    budget: int


@dataclass(frozen=True, kw_only=True)
class Record:
    """What came of a run."""

    run: Run
    best: float = 1.0
    """The table's best value."""
    steps: list[Step] = field(default_factory=list)
    """The anytime curve: each improvement, and the end."""
    trials: int = 0
    proposals: int = 0
    suggest_seconds: float = 0.0
    report_seconds: float = 0.0
    real_seconds: float = 0.0
    error: str | None = None
    """Why there is no curve."""

    def to_json(self) -> str:
        """The record as a line of JSON."""
        content = asdict(self) | self.run._asdict()
        del content["run"]
        content["steps"] = [(step.epochs, round(step.seconds, 3), round(step.best, 6)) for step in self.steps]
        return json.dumps(content)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The record of `to_json`."""
        content = json.loads(line)
        run = Run(**{name: content.pop(name) for name in Run._fields})
        return cls(run=run, **content | {"steps": [Step(*step) for step in content["steps"]]})


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How runs are carried out."""

    pythons: tuple[str, ...] = ()
    """Pythons of the peers' environments."""
    time_limit: float = 1800.0
    """Real seconds that a peer may take to decide, in one search."""
    processes: int = 1


def execute(run: Run, table: Table, limits: Limits) -> Record:
    """Run a search; an error of a peer becomes the record's."""
    start = time.monotonic()
    if run.arm in NOT_RUN:
        return Record(run=run, error=NOT_RUN[run.arm])
    try:
        with arms.searcher(
            run.arm, table, run.slots, run.seed, pythons=limits.pythons, time_limit=limits.time_limit
        ) as searcher:
            until = table.target(LAST_TARGET)
            history = replay(searcher, table, run.slots, run.budget, seed=run.seed, until=until)
    except PeerError as error:
        return Record(run=run, error=str(error), real_seconds=time.monotonic() - start)
    return Record(
        run=run,
        best=table.best,
        steps=history.steps,
        trials=history.trials,
        proposals=history.proposals,
        suggest_seconds=history.suggest_seconds,
        report_seconds=history.report_seconds,
        real_seconds=time.monotonic() - start,
    )


def read_records(files: Iterable[Path]) -> list[Record]:
    """The records of several files; of one run's, the last without an error, or else the last."""
    records: dict[Run, Record] = {}
    for file in files:
        for line in file.read_text().splitlines():
            record = Record.from_json(line)
            if record.error is None or record.run not in records or records[record.run].error:
                records[record.run] = record
    return list(records.values())


def run_all(
    runs: Sequence[Run], tables: Mapping[str, Table], limits: Limits, out: Path | None, said: Callable[[Record], None]
) -> list[Record]:
    """Run searches that `out` does not have yet; returns the records of all of them.

    Args:
        runs: the searches.
        tables: their tables.
        limits: how they run.
        out: file that records are added to; None for none.
        said: called with each new record.
    """
    wanted = set(runs)
    known = [record for record in read_records([out] if out and out.exists() else []) if record.run in wanted]
    records = {record.run: record for record in known if record.error is None}
    for record in _executed([run for run in runs if run not in records], tables, limits):
        records[record.run] = record
        if out:
            with out.open("a") as stream:
                print(record.to_json(), file=stream)
        said(record)
    return list(records.values())


def _executed(runs: Sequence[Run], tables: Mapping[str, Table], limits: Limits) -> Iterator[Record]:
    if not runs:
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(limits.processes, len(runs)), _begin_process, (dict(tables), limits)) as pool:
        yield from pool.imap_unordered(_execute, runs)


_tables: dict[str, Table]  # these are set in each process of the pool
_limits: Limits


def _begin_process(tables: dict[str, Table], limits: Limits) -> None:
    import optuna

    global _tables, _limits
    _tables, _limits = tables, limits
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


def _execute(run: Run) -> Record:
    return execute(run, _tables[run.table], _limits)
