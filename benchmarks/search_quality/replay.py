"""Replays a search on a table with a simulated clock; records the anytime curve.

Each slot trains one trial. An epoch takes the table's seconds, a paused trial goes on from its checkpoint at no cost,
and the search's own time to decide does not move the clock; it is recorded.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from benchmarks.search_quality.searcher import Job, Searcher, Verdict
from benchmarks.search_quality.table import FloatArray, Table


class Step(NamedTuple):
    """A point of the anytime curve."""

    epochs: int
    """Epochs trained in all, over all trials."""
    seconds: float
    """Simulated seconds since the start."""
    best: float
    """Best value so far of any epoch of any trial, without noise."""


@dataclass
class History:
    """What a replayed search did."""

    steps: list[Step] = field(default_factory=list)
    """Each improvement of the best value, and the end."""
    trials: int = 0
    """Trials that were started."""
    proposals: int = 0
    """Answers to `suggest`, None among them."""
    suggest_seconds: float = 0.0
    """Real seconds in `suggest`, in all."""
    report_seconds: float = 0.0
    """Real seconds in `report`, in all."""

    def first(self, value: float) -> Step | None:
        """The first step at which the best reached a value; None if it never did."""
        return next((step for step in self.steps if step.best >= value), None)

    def best_at(self, epochs: float) -> float:
        """The best value after a number of epochs."""
        return max((step.best for step in self.steps if step.epochs <= epochs), default=-np.inf)


@dataclass(order=True)
class _Running:
    """A trial in a slot, in the order in which their epochs end."""

    end: float
    order: int
    trial: int = field(compare=False)
    epoch: int = field(compare=False)
    """The epoch that is being trained."""


class Replay:
    """One search on one table.

    Args:
        searcher: the search.
        table: the table that replaces the training.
        slots: trials that train at the same time.
        budget: epochs over all trials, after which the replay ends.
        seed: seed of the noise.
        until: value at which the replay ends early; None for never.
    """

    def __init__(
        self, searcher: Searcher, table: Table, slots: int, budget: int, *, seed: int = 0, until: float | None = None
    ) -> None:
        self._searcher, self._table, self._slots, self._budget = searcher, table, slots, budget
        self._seed, self._until = seed, until
        self._curves: dict[int, FloatArray] = {}
        self._seconds: dict[int, FloatArray] = {}
        self._reached: dict[int, int] = {}  # epochs that a trial has trained; -1 once it was stopped
        self._running: list[_Running] = []
        self._now, self._trained, self._best, self._order = 0.0, 0, -np.inf, 0
        self.history = History()

    def run(self) -> History:
        """Run to the budget, or until the search has nothing more to do.

        Raises:
            ValueError: the search suggested a trial that runs or has ended.
        """
        while self._trained < self._budget:
            self._fill()
            if not self._running or self._end_of_epoch():
                break
        self.history.steps.append(Step(self._trained, self._now, self._best))
        return self.history

    def _fill(self) -> None:
        while len(self._running) < self._slots:
            start = time.perf_counter()
            job = self._searcher.suggest()
            self.history.suggest_seconds += time.perf_counter() - start
            self.history.proposals += 1
            if job is None:
                return
            self._start(job)

    def _start(self, job: Job) -> None:
        reached = self._reached.get(job.trial, 0)
        if reached in (-1, self._table.epochs) or any(job.trial == each.trial for each in self._running):
            raise ValueError(f"trial {job.trial} was suggested while it runs, or after its end")
        if job.trial not in self._curves:
            self._curves[job.trial] = self._table.curve(job.config)
            self._seconds[job.trial] = self._table.seconds(job.config)
            self.history.trials += 1
        self._push(job.trial, reached + 1)

    def _push(self, trial: int, epoch: int) -> None:
        self._order += 1
        end = self._now + float(self._seconds[trial][epoch - 1])
        heapq.heappush(self._running, _Running(end, self._order, trial, epoch))

    def _end_of_epoch(self) -> bool:
        """Take the epoch that ends next to the search; returns whether the replay ends with it."""
        ended = heapq.heappop(self._running)
        trial, epoch = ended.trial, ended.epoch
        self._now, self._reached[trial] = ended.end, epoch
        self._trained += 1
        value = float(self._curves[trial][epoch - 1])
        if value > self._best:
            self._best = value
            self.history.steps.append(Step(self._trained, self._now, value))
            if self._until is not None and value >= self._until:
                return True
        verdict = self._report(trial, epoch, value)
        if epoch < self._table.epochs:
            if verdict == "continue":
                self._push(trial, epoch + 1)
            elif verdict == "stop":
                self._reached[trial] = -1
        return False

    def _report(self, trial: int, epoch: int, value: float) -> Verdict:
        value += self._table.training_noise * _normal(self._seed, trial, 0)
        value += self._table.noise * _normal(self._seed, trial, epoch)
        seconds = float(self._seconds[trial][epoch - 1])
        start = time.perf_counter()
        verdict = self._searcher.report(trial, epoch, value, seconds)
        self.history.report_seconds += time.perf_counter() - start
        return verdict


def _normal(*seed: int) -> float:
    return float(np.random.default_rng(seed).standard_normal())


def replay(searcher: Searcher, table: Table, slots: int, budget: int, **options: Any) -> History:
    """Replay a search on a table; see `Replay` for the arguments."""
    return Replay(searcher, table, slots, budget, **options).run()
