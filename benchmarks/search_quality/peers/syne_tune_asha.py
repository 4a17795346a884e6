"""Syne Tune 0.16: ASHA with conformal quantile regression, and with kernel densities (BOHB); they stop, never pause."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import syne_tune.optimizer.baselines as baselines  # type: ignore[import-not-found]
from syne_tune.backend.trial_status import Trial  # type: ignore[import-not-found]
from syne_tune.optimizer.scheduler import SchedulerDecision  # type: ignore[import-not-found]

from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.peers.syne_tune_space import config_of, config_space
from benchmarks.search_quality.searcher import Job, Verdict

START = datetime(2024, 1, 1)  # nothing depends on it


class SyneTuneAsha:
    """A scheduler of Syne Tune 0.16.

    Args:
        problem: the search.
        name: a class of `syne_tune.optimizer.baselines`.
        options: its further arguments.
    """

    def __init__(self, problem: Problem, name: str, options: dict[str, Any]) -> None:
        self._problem = problem
        np.random.seed(problem.seed)  # Syne Tune draws brackets with it
        self._scheduler = getattr(baselines, name)(
            config_space(problem),
            metric="value",
            do_minimize=False,
            time_attr="epoch",
            max_t=problem.epochs,
            random_seed=problem.seed,
            points_to_evaluate=[],
            **options,
        )
        self._trials: dict[int, Trial] = {}

    def suggest(self) -> Job | None:
        """A new trial."""
        suggestion = self._scheduler.suggest()
        if suggestion is None:
            return None
        trial = Trial(trial_id=len(self._trials), config=suggestion.config, creation_time=START)
        self._trials[trial.trial_id] = trial
        self._scheduler.on_trial_add(trial=trial)
        return Job(trial.trial_id, config_of(self._problem, trial.config))

    def report(self, trial: int, epoch: int, value: float, seconds: float) -> Verdict:
        """Pass on an epoch."""
        known, result = self._trials[trial], {"value": value, "epoch": epoch}
        if self._scheduler.on_trial_result(trial=known, result=result) == SchedulerDecision.CONTINUE:
            return "continue"
        self._scheduler.on_trial_remove(trial=known)
        return "stop"


def make(problem: Problem, name: str, **options: Any) -> SyneTuneAsha:
    """The searcher of a problem."""
    return SyneTuneAsha(problem, name, options)
