"""An Optuna sampler that learns from every epoch of every trial.

The first epochs of a stopped trial say something about what the trial would have reached. Samplers that see a trial as
a single number do not use that: TPE ranks stopped trials last, and Optuna's GP leaves them out. Here one model covers
all epochs, and the next configuration has the largest expected improvement at the last epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from decouple_search.samplers.study_model import StudyModel
from decouple_search.space.space import Space
from decouple_search.study.record import search_trials

if TYPE_CHECKING:
    from optuna import Study

RANDOM_EVERY = 6
"""One trial in this many is random, so that a wrong model meets what it does not expect."""


class EpochSampler(BaseSampler):
    """Proposes the configuration with the largest expected improvement at the last epoch. Some are random.

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
        others = [record for record in search_trials(study) if record.number != trial.number]
        model, rng = StudyModel(study, others, self._space, self._epochs), np.random.default_rng(self._seed)
        return model.proposal(rng, random=trial.number % RANDOM_EVERY == RANDOM_EVERY - 1)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value for a parameter that the proposal lacks, because a start point made its condition true."""
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)
