"""Syne Tune 0.13: ASHA, MOBSTER, Hyper-Tune and DyHPO, driven as its tuner drives them.

Defaults throughout, but for the first configuration: Syne Tune starts in the middle of all ranges, and no search of the
benchmark has start points.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import syne_tune.optimizer.baselines as baselines  # type: ignore[import-not-found]
from syne_tune.backend.trial_status import Trial  # type: ignore[import-not-found]
from syne_tune.optimizer.scheduler import SchedulerDecision  # type: ignore[import-not-found]

from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.peers.syne_tune_space import config_of, config_space
from benchmarks.search_quality.searcher import Job, Verdict

START = datetime(2024, 1, 1)  # nothing depends on it


class SyneTune:
    """A scheduler of Syne Tune 0.13.

    Args:
        problem: the search.
        name: a class of `syne_tune.optimizer.baselines`.
        options: its further arguments.
    """

    def __init__(self, problem: Problem, name: str, options: dict[str, Any]) -> None:
        self._problem = problem
        silent = {} if name == "ASHA" else {"search_options": {"debug_log": False}}
        self._scheduler = getattr(baselines, name)(
            config_space(problem),
            metric="value",
            mode="max",
            resource_attr="epoch",
            max_t=problem.epochs,
            random_seed=problem.seed,
            points_to_evaluate=[],
            **silent,
            **options,
        )
        self._trials: dict[int, Trial] = {}

    def suggest(self) -> Job | None:
        """A new trial, or a paused one."""
        suggestion = self._scheduler.suggest(trial_id=len(self._trials))
        if suggestion is None:
            return None
        if suggestion.spawn_new_trial_id:
            trial = Trial(trial_id=len(self._trials), config=suggestion.config, creation_time=START)
            self._trials[trial.trial_id] = trial
            self._scheduler.on_trial_add(trial=trial)
        else:
            trial = self._trials[suggestion.checkpoint_trial_id]
        return Job(trial.trial_id, config_of(self._problem, trial.config))

    def report(self, trial: int, epoch: int, value: float, seconds: float) -> Verdict:
        """Pass on an epoch, and what follows from the decision as in Syne Tune's tuner."""
        known, result = self._trials[trial], {"value": value, "epoch": epoch}
        decision = self._scheduler.on_trial_result(trial=known, result=result)
        if decision != SchedulerDecision.CONTINUE:
            self._scheduler.on_trial_remove(trial=known)
        elif epoch == self._problem.epochs:
            self._scheduler.on_trial_complete(trial=known, result=result)
        verdicts: dict[str, Verdict] = {SchedulerDecision.PAUSE: "pause", SchedulerDecision.STOP: "stop"}
        return verdicts.get(decision, "continue")


def make(problem: Problem, name: str, **options: Any) -> SyneTune:
    """The searcher of a problem."""
    return SyneTune(problem, name, options)
