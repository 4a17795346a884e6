"""An Optuna sampler that proposes all combinations of a space, in order. Optuna's grid sampler knows no conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from decouple_search.space.space import Space
from decouple_search.study.record import all_trials

if TYPE_CHECKING:
    from optuna import Study


class GridSampler(BaseSampler):
    """Proposes the points of a grid by the trials' numbers; after the last point comes the first.

    Args:
        space: the searched space; its ranges have steps.
    """

    def __init__(self, space: Space) -> None:
        self._space, self._points = space, space.grid()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All searched parameters. Optuna does not ask for those that are absent at a point."""
        return {parameter.key: parameter.distribution for parameter in self._space.parameters}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The point of this trial. Imported and screened trials and trainings of finalists do not count."""
        before = all_trials(study)[: trial.number]
        others = sum(record.imported or record.repeat_of is not None or record.is_screened for record in before)
        return self._points[(trial.number - others) % len(self._points)]

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never called: a point has all its parameters."""
        raise AssertionError(f"{param_name} is not in the grid's point")
