"""DEHB by its ask and tell: Hyperband with differential evolution. It knows no conditions."""

from __future__ import annotations

import math
import tempfile

from dehb import DEHB  # type: ignore[import-not-found]

from benchmarks.search_quality.peers.config_space import config_of, config_space
from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.peers.rungs import Asked, RungSearch


class DehbSearch(RungSearch):
    """DEHB; budgets between two epochs are rounded up."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        space = config_space(problem, conditions=False)
        self._dehb = DEHB(
            cs=space,
            f=None,
            dimensions=len(problem.parameters),
            min_fidelity=1,
            max_fidelity=problem.epochs,
            n_workers=1,
            seed=problem.seed,
            output_path=tempfile.mkdtemp(),
            log_level="ERROR",
        )

    def ask(self) -> Asked:
        """The next configuration and its budget."""
        job = self._dehb.ask()
        epoch = min(max(math.ceil(float(job["fidelity"]) - 1e-6), 1), self._problem.epochs)
        return Asked(config_of(self._problem, dict(job["config"])), epoch, job)

    def tell(self, asked: Asked, value: float, seconds: float) -> None:
        """Pass on a result; DEHB minimises."""
        self._dehb.tell(asked.handle, {"fitness": -value, "cost": seconds})


def make(problem: Problem) -> DehbSearch:
    """The searcher of a problem."""
    return DehbSearch(problem)
