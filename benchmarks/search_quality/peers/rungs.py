"""Searches that ask for a configuration up to a budget: each becomes a trial that pauses there.

A configuration that was trained to a smaller budget goes on from its checkpoint, as for all searches of the benchmark.
One that was trained that far already is answered from its results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.searcher import Job, Verdict

MAX_ANSWERED = 100
"""Proposals that are answered from results in one call; more mean that the search only repeats itself."""


class Asked(NamedTuple):
    """A configuration to train up to an epoch."""

    config: dict[str, Any]
    epoch: int
    handle: Any
    """What the package wants back with the result."""


@dataclass
class _Trial:
    config: dict[str, Any]
    values: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    asked: Asked | None = None
    """What is being trained; None while the trial is paused."""


class RungSearch(ABC):
    """A search that asks for budgets.

    Args:
        problem: the search.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._trials: list[_Trial] = []

    @abstractmethod
    def ask(self) -> Asked | None:
        """What to train next; None if the package waits for results."""

    @abstractmethod
    def tell(self, asked: Asked, value: float, seconds: float) -> None:
        """The value at the asked epoch, and the seconds of the training from its beginning."""

    def suggest(self) -> Job | None:
        """A trial to train to what the package asked for."""
        for _ in range(MAX_ANSWERED):
            asked = self.ask()
            if asked is None:
                return None
            number, trial = self._trial(asked)
            if len(trial.values) < asked.epoch:
                trial.asked = asked
                return Job(number, trial.config)
            self.tell(asked, trial.values[asked.epoch - 1], sum(trial.seconds[: asked.epoch]))
        return None

    def report(self, trial: int, epoch: int, value: float, seconds: float) -> Verdict:
        """Record an epoch; at the asked one the package is told, and the trial pauses."""
        known = self._trials[trial]
        known.values.append(value)
        known.seconds.append(seconds)
        asked = known.asked
        if asked is None or epoch < asked.epoch:
            return "continue"
        known.asked = None
        self.tell(asked, value, sum(known.seconds))
        return "pause"

    def _trial(self, asked: Asked) -> tuple[int, _Trial]:
        """The trial that goes on with a configuration, or a new one; a copy of one that trains now is new too."""
        for number, trial in enumerate(self._trials):
            if trial.config == asked.config and trial.asked is None:
                return number, trial
        self._trials.append(_Trial(asked.config))
        return len(self._trials) - 1, self._trials[-1]
