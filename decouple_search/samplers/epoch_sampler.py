"""An Optuna sampler that learns from every epoch of every trial.

The first epochs of a stopped trial say something about what the trial would have reached. Samplers that see a trial as
a single number do not use that: TPE ranks stopped trials last, and Optuna's GP leaves them out. Here one model covers
all epochs, and the next configuration has the largest expected improvement at the last epoch.

Everything follows from the study and the trial's number, so a search that was killed resumes as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from decouple_search.samplers.gaussian_process import EpochModel, Observation
from decouple_search.space.space import Space
from decouple_search.study.record import TrialRecord, all_trials

if TYPE_CHECKING:
    from optuna import Study

STARTUP_TRIALS = 8
"""Trials that are drawn at random before the model proposes."""
MAX_OBSERVATIONS = 300
"""The most observations of the model. Observations of late epochs and good values are preferred."""


class EpochSampler(BaseSampler):
    """Proposes the configuration with the largest expected improvement at the last epoch.

    Args:
        space: the searched space.
        epochs: the epochs of a full training.
        seed: the seed of the random draws for one trial.
    """

    def __init__(self, space: Space, epochs: int, *, seed: int) -> None:
        self._space, self._epochs, self._seed = space, epochs, seed
        self._fallback = RandomSampler(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All searched parameters. Optuna does not ask for those that are absent in a proposal."""
        return {parameter.key: parameter.distribution for parameter in self._space.parameters}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of the next configuration."""
        rng = np.random.default_rng(self._seed)
        others = [record for record in all_trials(study) if record.number != trial.number]
        observations = observations_of(others, self._space, self._epochs)
        if _count_trials(observations) < STARTUP_TRIALS:
            return self._space.draw(rng)
        model = EpochModel(self._space, observations, self._epochs)
        model.believe([r.frozen.params for r in others if r.frozen.state == TrialState.RUNNING and r.frozen.params])
        return model.best_candidate(rng)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value for a parameter that the proposal lacks, because a start point made its condition true."""
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)


def observations_of(trials: Sequence[TrialRecord], space: Space, epochs: int) -> list[Observation]:
    """The observations of trials, at most `MAX_OBSERVATIONS`.

    Args:
        trials: the trials of a study.
        space: the searched space.
        epochs: the epochs of a full training.
    """
    observations: list[Observation] = []
    for trial in trials:
        if trial.cannot_be_trained:
            continue
        reported = trial.frozen.intermediate_values.items()  # an imported trial may have more epochs
        curve = {epoch: space.objective.utility(value) for epoch, value in reported if epoch <= epochs}
        observations += [Observation(trial.frozen.params, epoch, curve[epoch]) for epoch in sparse_epochs(curve)]
    # A configuration that cannot be trained counts as bad as the worst one that can.
    worst = min((each.value for each in observations if each.epoch == 1), default=0.0)
    untrainable = [trial for trial in trials if trial.frozen.params and trial.cannot_be_trained]
    observations += [Observation(trial.frozen.params, 1, worst) for trial in untrainable]
    observations.sort(key=lambda each: (each.epoch, each.value), reverse=True)
    return observations[:MAX_OBSERVATIONS]


def expects_best(study: Study, space: Space, epochs: int, number: int, epoch: int, value: float) -> bool:
    """Whether a trial is expected to reach a value at the last epoch that no trial has reached yet.

    Args:
        study: the study, with what trials reported before.
        space: the searched space.
        epochs: the epochs of a full training.
        number: the trial's number.
        epoch: the epoch that has just ended.
        value: the trial's value in that epoch.
    """
    trials = all_trials(study)
    point = trials[number].frozen.params
    observations = [
        each for each in observations_of(trials, space, epochs) if each.point is not point or each.epoch != epoch
    ]
    observations.append(Observation(point, epoch, space.objective.utility(value)))
    if _count_trials(observations) < STARTUP_TRIALS:
        return False
    return EpochModel(space, observations, epochs).expected(point) >= max(each.value for each in observations)


def _count_trials(observations: Sequence[Observation]) -> int:
    return len({id(each.point) for each in observations})


def sparse_epochs(curve: Mapping[int, float]) -> list[int]:
    """The epochs of a curve that the model takes: 1, 2, 4, ... and the last. Those between add little."""
    last = max(curve, default=0)
    return sorted({epoch for epoch in curve if epoch & (epoch - 1) == 0} | ({last} if last else set()))
