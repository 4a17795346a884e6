"""Population-based training (Jaderberg et al., 2017): Tune's scheduler beside a searcher, and the explore step."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from optuna import Study
from ray.tune import Checkpoint
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.compat import (
    all_trials_of,
    is_running,
    restart_checkpoint,
    restore_standing,
    without_searcher,
)
from decouple_search.ray_tune.recovery import LossPolicy, RecoveryMixin
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import TIME_ATTRIBUTE, to_tune
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space
from decouple_search.stopping.scheduler import CHANGEABLE
from decouple_search.study.record import StudyRecord, all_trials


class Population(RecoveryMixin, PopulationBasedTraining):
    """Tune's scheduler of a population. Trials come from the study; a gang's start costs more than some epochs.

    Args:
        interval: epochs between two comparisons of a trial with the others.
        space: the searched space.
        config: the complete base configuration, dotted.
        study: brings back the population of a search that was cut off.
        seed: the seed of its choices.
        slots: gives the number of trials that can run at the same time now.
        loss_policy: decides about lost trials.
        filesystem: pyarrow's file system that checkpoints are in; None for this machine's.
    """

    def __init__(
        self,
        interval: int,
        space: Space,
        config: Mapping[str, Any],
        *,
        study: Study,
        seed: int,
        slots: Callable[[], int],
        loss_policy: LossPolicy,
        filesystem: Any,
    ) -> None:
        seed += StudyRecord(study).runs or 0  # a resumed search makes other choices
        random.seed(seed)  # PopulationBasedTraining chooses donors by the global generator
        super().__init__(
            time_attr=TIME_ATTRIBUTE,
            metric=space.metric,
            mode=space.mode,
            perturbation_interval=interval,
            custom_explore_fn=Explorer(space, config, seed),
            require_attrs=False,  # a failed trial has no metric
            log_config=False,
        )
        self.loss_policy = loss_policy
        self._interval_epochs, self._space, self._study = interval, space, study
        self._slots, self._filesystem = slots, filesystem

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Add a trial, with the standing that it had if it started earlier."""
        super().on_trial_add(without_searcher(tune_controller), trial)
        curve = all_trials(self._study)[int(str(trial))].curve
        compared = [epoch for epoch in curve if epoch % self._interval_epochs == 0]
        if not compared:
            return
        last, start = max(compared), TrialSpec.from_tune(trial.config).checkpoint
        # A checkpoint that the trial wrote in this run replaces the one that it resumed from, which is deleted then.
        resume_from = restart_checkpoint(trial) or (Checkpoint(start, filesystem=self._filesystem) if start else None)
        restore_standing(
            self,
            trial,
            epoch=last,
            utility=self._space.objective.utility(curve[last]),
            checkpoint=resume_from,
            result=to_tune(EpochResult(epoch=last, measures={self._space.metric: curve[last]})),
        )

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """PAUSE a trial for a waiting one only if no slot is free.

        While a slot's gang starts, the waiting trial would take the paused trial's gang, and its own gang would be
        ended during its start.
        """
        decision = super().on_trial_result(tune_controller, trial, result)
        running = sum(is_running(other) for other in all_trials_of(tune_controller))
        free = running < self._slots()
        return str(TrialScheduler.CONTINUE if decision == TrialScheduler.PAUSE and free else decision)


class Explorer:
    """PBT's explore step (Jaderberg et al., 2017, section 4.1) on a space: draw a new value, or change by a fifth.

    Only parameters that a training can resume with are changed. The others are the donor's, like its weights.

    Args:
        space: the searched space.
        base: the complete base configuration, dotted.
        seed: the seed of the changes.
        resample: the probability that a parameter is drawn anew.
    """

    def __init__(self, space: Space, base: Mapping[str, Any], seed: int, resample: float = 0.25) -> None:
        self._space, self._base, self._resample = space, base, resample
        self._random = random.Random(seed)  # noqa: S311 - no secrets

    def __call__(self, donor: dict[str, Any]) -> dict[str, Any]:
        """A trial's specification made from its donor's, both as Tune carries them."""
        spec = TrialSpec.from_tune(donor)
        values = dict(spec.config)
        for parameter in self._space.parameters:  # each comes after the parameters that its conditions name
            if parameter.key in CHANGEABLE and parameter.key in self._space.present(values):
                values[parameter.key] = self._changed(parameter, values[parameter.key])
        absent = set(self._space.keys) - self._space.present(values).keys()
        return spec.explored(values | {key: self._base[key] for key in absent}).to_tune()

    def _changed(self, parameter: Parameter, value: Any) -> Any:
        drawn = self._random.random() < self._resample
        if parameter.kind == "choice":
            choices = list(parameter.values)
            if drawn or value not in choices:
                return self._random.choice(choices)
            index = choices.index(value) + self._random.choice((-1, 1))
            return choices[min(max(index, 0), len(choices) - 1)]
        low, high = parameter.values
        if drawn and parameter.log:
            new = math.exp(self._random.uniform(math.log(low), math.log(high)))
        elif drawn:
            new = self._random.uniform(low, high)
        else:
            new = value * self._random.choice((0.8, 1.2))
        if parameter.step:
            new = low + round((new - low) / parameter.step) * parameter.step
        new = min(max(new, low), high)
        return round(new) if parameter.kind == "int" else new
