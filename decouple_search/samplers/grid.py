"""Optuna sampler that goes through all combinations of a space, in order; Optuna's own does not know conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from decouple_search.space.space import Space

if TYPE_CHECKING:
    from optuna import Study


class GridSampler(BaseSampler):
    """Proposes a grid's points by the trials' numbers; after the last it begins again.

    Args:
        space: what is searched; its ranges have steps.
    """

    def __init__(self, space: Space) -> None:
        self._space, self._points = space, space.grid()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All searched parameters; those that are absent at a point are not asked for."""
        return {parameter.key: parameter.distribution for parameter in self._space.parameters}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The point of this trial; trials that were taken from another study do not count."""
        before = sum("taken_from" in one.user_attrs for one in study.get_trials(deepcopy=False)[: trial.number])
        return self._points[(trial.number - before) % len(self._points)]

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never needed: a point has all its parameters."""
        raise AssertionError(f"{param_name} is not in the grid's point")
