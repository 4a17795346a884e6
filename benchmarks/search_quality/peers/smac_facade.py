"""SMAC3's multi-fidelity facade by its ask and tell: Hyperband with a random forest, on a deterministic objective."""

from __future__ import annotations

import math
import tempfile

from smac import MultiFidelityFacade, Scenario  # type: ignore[import-not-found]
from smac.main.exceptions import ConfigurationSpaceExhaustedException  # type: ignore[import-not-found]
from smac.runhistory.dataclasses import TrialValue  # type: ignore[import-not-found]

from benchmarks.search_quality.peers.config_space import config_of, config_space
from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.peers.rungs import Asked, RungSearch

TRIALS = 1000
"""Trials that SMAC is told of; a quarter of them bounds its initial design of 10 per parameter."""


def _never(config: object, seed: int = 0, budget: float = 0) -> float:
    raise AssertionError("SMAC is driven by ask and tell")


class SmacSearch(RungSearch):
    """SMAC3; budgets between two epochs are rounded up."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        scenario = Scenario(
            config_space(problem, conditions=True),
            output_directory=tempfile.mkdtemp(),
            deterministic=True,
            n_trials=TRIALS,
            min_budget=1,
            max_budget=problem.epochs,
            seed=problem.seed,
        )
        self._smac = MultiFidelityFacade(scenario, _never, overwrite=True, logging_level=False)

    def ask(self) -> Asked | None:
        """The next configuration and its budget; None once SMAC has tried the whole space, which ends its own loop."""
        try:
            info = self._smac.ask()
        except (ConfigurationSpaceExhaustedException, StopIteration):
            return None
        budget = info.budget or self._problem.epochs
        return Asked(config_of(self._problem, dict(info.config)), _epochs(budget, self._problem.epochs), info)

    def tell(self, asked: Asked, value: float, seconds: float) -> None:
        """Pass on a result; SMAC minimises."""
        self._smac.tell(asked.handle, TrialValue(cost=-value, time=seconds), save=False)


def _epochs(budget: float, most: int) -> int:
    return min(max(math.ceil(budget - 1e-6), 1), most)


def make(problem: Problem) -> SmacSearch:
    """The searcher of a problem."""
    return SmacSearch(problem)
