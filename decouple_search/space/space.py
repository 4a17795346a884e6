"""A search space: fixed values, searched parameters with their conditions, and random configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from decouple_search.space.objective import Mode, Objective
from decouple_search.space.parameter import Parameter
from decouplenet.config import Config
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError

if TYPE_CHECKING:
    import optuna
    from numpy.random import Generator

MAX_GRID_POINTS = 100_000
"""The most points of a grid."""


@dataclass(frozen=True)
class Space:
    """A search space, checked."""

    name: str
    """The file's name without its ending."""
    base: Mapping[str, Any]
    """Fixed values by dotted key."""
    parameters: tuple[Parameter, ...]
    """The searched parameters; each comes after the parameters that its conditions name."""
    start: tuple[Mapping[str, Any], ...]
    """Points that are tried first."""
    objectives: tuple[Objective, ...]
    """The objectives. The first one decides where a single objective is needed."""
    scheduler: Mapping[str, Any]
    """`name` of the scheduler and its options."""
    trials: int
    """Number of trials when the command line does not give it."""
    sampler: str | None = None
    """The sampler when the command line does not name one; None for the sampler that suits the search."""
    keep_checkpoints: int = 3
    """Ended trials whose best checkpoint stays on disk, when the command line does not give the number."""

    @property
    def objective(self) -> Objective:
        """The first objective. Epochs are compared and trials are stopped early by it."""
        return self.objectives[0]

    @property
    def metric(self) -> str:
        """The measure of the first objective."""
        return self.objective.metric

    @property
    def mode(self) -> Mode:
        """Max or min, of the first objective."""
        return self.objective.mode

    @property
    def keys(self) -> tuple[str, ...]:
        """The searched keys, dotted."""
        return tuple(parameter.key for parameter in self.parameters)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Ask Optuna for the parameters of a trial. A parameter whose conditions do not hold is absent."""
        return self._filled(lambda parameter: parameter.suggest(trial))

    def draw(self, rng: Generator) -> dict[str, Any]:
        """The parameters of a random configuration. A parameter whose conditions do not hold is absent."""
        return self._filled(lambda parameter: parameter.value_at(rng.random()))

    def neighbour(self, point: Mapping[str, Any], rng: Generator, width: float) -> dict[str, Any]:
        """A configuration near another.

        Args:
            point: the parameters of the other configuration.
            rng: the generator of the changes.
            width: standard deviation of the change of a range, as a share of the range. A choice changes in one of
                five cases.
        """

        def moved(parameter: Parameter) -> Any:
            if parameter.key not in point:
                return parameter.value_at(rng.random())
            if parameter.kind == "choice":
                return parameter.value_at(rng.random()) if rng.random() < 0.2 else point[parameter.key]
            position = parameter.position(point[parameter.key]) + width * rng.standard_normal()
            return parameter.value_at(min(max(position, 0.0), 1.0))

        return self._filled(moved)

    def _filled(self, value: Callable[[Parameter], Any]) -> dict[str, Any]:
        """The parameters whose conditions hold, with their values from `value`."""
        values = dict(self._fixed)
        filled: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.applies(values):
                filled[parameter.key] = values[parameter.key] = value(parameter)
        return filled

    def grid(self) -> list[dict[str, Any]]:
        """All combinations of all values, in order. A parameter whose conditions do not hold is absent.

        Raises:
            InputError: a range has no steps, or there are more than `MAX_GRID_POINTS`.
        """
        points: list[dict[str, Any]] = [{}]
        for parameter in self.parameters:
            values = parameter.steps()
            if values is None:
                raise InputError(f"--sampler grid: {parameter.key} has endless values; give it a step, or choices")
            points = [
                {**point, **({parameter.key: value} if applies else {})}
                for point in points
                for applies in [parameter.applies(self._fixed | point)]
                for value in (values if applies else [None])
            ]
            if len(points) > MAX_GRID_POINTS:
                raise InputError(
                    f"--sampler grid: there are more than {MAX_GRID_POINTS} points; search fewer keys or values"
                )
        return points

    def present(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The searched parameters of a complete configuration. A parameter whose conditions do not hold is absent."""
        searched = set(self.keys)
        values = {key: value for key, value in config.items() if key not in searched}
        for parameter in self.parameters:
            if parameter.applies(values):
                values[parameter.key] = config[parameter.key]
        return {key: value for key, value in values.items() if key in searched}

    def checked_start(self) -> list[dict[str, Any]]:
        """The start points, without parameters whose conditions do not hold."""
        points = []
        for point in self.start:
            values = self._fixed
            kept: dict[str, Any] = {}
            for parameter in self.parameters:
                if parameter.key in point and (not parameter.when or parameter.applies(values | kept)):
                    kept[parameter.key] = point[parameter.key]
            points.append(kept)
        return points

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        searched = set(self.keys)
        defaults = flatten(Config().to_dict())
        return {key: value for key, value in (defaults | dict(self.base)).items() if key not in searched}
