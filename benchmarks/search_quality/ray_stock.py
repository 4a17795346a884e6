"""Ray's own searches: `OptunaSearch` with its defaults or random proposals, with ASHA at our rungs or without it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.search_quality.searcher import Job, Verdict
from benchmarks.search_quality.table import Table


class RayStock:
    """A searcher and a scheduler of Ray Tune.

    Args:
        table: the table that is searched.
        slots: not used; Ray's searchers do not know it.
        seed: the search's seed.
        random: whether proposals are random.
        asha: whether trials are stopped early.
    """

    def __init__(self, table: Table, slots: int, seed: int, *, random: bool = False, asha: bool = True) -> None:
        np.random.seed(seed)  # Ray's ASHA draws a bracket with it, although there is only one
        sampler = {"sampler": optuna.samplers.RandomSampler(seed)} if random else {"seed": seed}
        parameters = table.space.parameters

        def propose(trial: optuna.Trial) -> None:
            values: dict[str, Any] = {}
            for parameter in parameters:
                if parameter.applies(values):
                    values[parameter.key] = parameter.suggest(trial)

        self._searcher = OptunaSearch(propose, metric="val_map", mode="max", **sampler)
        rungs: dict[str, Any] = {"max_t": table.epochs, "grace_period": 1, "reduction_factor": 3}
        rungs |= {"time_attr": "epoch", "metric": "val_map", "mode": "max"}
        self._scheduler: Any = AsyncHyperBandScheduler(**rungs) if asha else FIFOScheduler()
        self._epochs = table.epochs
        self._trials: list[Any] = []

    def suggest(self) -> Job | None:
        """The next trial."""
        number = len(self._trials)
        config = self._searcher.suggest(f"trial-{number}")
        if config is None:
            return None
        trial = SimpleNamespace(trial_id=f"trial-{number}", config=config, status="RUNNING")
        self._scheduler.on_trial_add(SimpleNamespace(get_trials=list), trial)
        self._trials.append(trial)
        return Job(number, dict(config))

    def report(self, trial: int, epoch: int, value: float, seconds: float) -> Verdict:
        """Pass on an epoch as Tune does."""
        known, result = self._trials[trial], {"epoch": epoch, "training_iteration": epoch, "val_map": value}
        stops = epoch == self._epochs or self._scheduler.on_trial_result(None, known, result) == TrialScheduler.STOP
        if stops:
            self._scheduler.on_trial_complete(None, known, result)
            self._searcher.on_trial_complete(known.trial_id, result)
        else:
            self._searcher.on_trial_result(known.trial_id, result)
        return "stop" if stops else "continue"
