"""Optuna sampler that learns from every epoch of every trial.

What an early-stopped trial showed in its first epochs says something of what it would have reached; samplers that take
a trial for one number (TPE ranks stopped ones last, Optuna's GP leaves them out) do not use it. Here one model has all
epochs, and a new configuration is the one with the largest expected improvement at the last epoch.

Everything follows from the study and the trial's number, so a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from decouple_search.ray_tune.searcher import CUT, LOST
from decouple_search.samplers.gaussian_process import EpochModel, Observation
from decouple_search.space.space import Space

if TYPE_CHECKING:
    from optuna import Study

STARTUP = 8
"""Trials that are drawn at random before the model proposes."""
MOST = 300
"""Observations that the model takes: those of the most epochs and the best values, beyond these."""


class EpochSampler(BaseSampler):
    """Proposes the configuration with the largest expected improvement at the last epoch.

    Args:
        space: what is searched.
        epochs: of a full training.
        seed: of the random draws of one trial.
    """

    def __init__(self, space: Space, epochs: int, *, seed: int) -> None:
        self._space, self._epochs, self._seed = space, epochs, seed
        self._sign = 1.0 if space.mode == "max" else -1.0
        self._fallback = RandomSampler(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All searched parameters; those that are absent in what is proposed are not asked for."""
        return {parameter.key: parameter.distribution for parameter in self._space.parameters}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of the next configuration."""
        rng = np.random.default_rng(self._seed)
        trials = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number]
        known, pending = self._known(trials)
        if len({id(one.point) for one in known}) < STARTUP:
            return self._space.draw(rng)
        model = EpochModel(self._space, known, self._epochs)
        model.believe(pending)
        return model.best_candidate(rng)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter that the proposal leaves out, at random: one whose condition a start point made true."""
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)

    def _known(self, trials: Sequence[FrozenTrial]) -> tuple[list[Observation], list[dict[str, Any]]]:
        """What has been observed, and the configurations that are being trained."""
        observed: list[Observation] = []
        for trial in trials:
            if _cannot_be_trained(trial):
                continue
            told = trial.intermediate_values.items()  # of another search (--warm-start) perhaps more
            curve = {epoch: self._sign * value for epoch, value in told if epoch <= self._epochs}
            observed += [Observation(trial.params, epoch, curve[epoch]) for epoch in rungs_of(curve)]
        # What cannot be trained to the end is as bad as the worst that can; a budget or a machine says nothing of it.
        worst = min((one.value for one in observed if one.epoch == 1), default=0.0)
        observed += [
            Observation(trial.params, 1, worst) for trial in trials if trial.params and _cannot_be_trained(trial)
        ]
        observed.sort(key=lambda one: (one.epoch, one.value), reverse=True)
        running = [trial.params for trial in trials if trial.state == TrialState.RUNNING and trial.params]
        return observed[:MOST], running


def expects_best(study: Study, space: Space, epochs: int, number: int, epoch: int, value: float) -> bool:
    """Whether a trial is expected to reach at the last epoch what none has reached yet.

    Args:
        study: with what trials reported before.
        space: what is searched.
        epochs: of a full training.
        number: the trial's.
        epoch: that has just ended.
        value: what it reached.
    """
    sampler = EpochSampler(space, epochs, seed=0)
    trials = study.get_trials(deepcopy=False)
    point = trials[number].params
    told, _ = sampler._known(trials)
    known = [one for one in told if one.point is not point or one.epoch != epoch]
    known.append(Observation(point, epoch, sampler._sign * value))
    if len({id(one.point) for one in known}) < STARTUP:
        return False
    return EpochModel(space, known, epochs).expected(point) >= max(one.value for one in known)


def _cannot_be_trained(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and trial.user_attrs.get("failure") not in (CUT, LOST)


def rungs_of(curve: Mapping[int, float]) -> list[int]:
    """Epochs of a curve that the model takes: 1, 2, 4, ... and the last; those between say little more."""
    last = max(curve, default=0)
    return sorted({epoch for epoch in curve if epoch & (epoch - 1) == 0} | ({last} if last else set()))
