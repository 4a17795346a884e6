"""A search space: what is fixed, what is searched under which conditions, and configurations drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from decouple_search.space.parameter import Parameter
from decouplenet.config import Config, flatten
from decouplenet.errors import InputError

if TYPE_CHECKING:
    import optuna
    from numpy.random import Generator

GRID = 100_000
"""The most points of a grid."""


@dataclass(frozen=True)
class Space:
    """A search space, checked."""

    name: str
    """The file's name without its ending."""
    base: Mapping[str, Any]
    """Fixed values by dotted key."""
    parameters: tuple[Parameter, ...]
    """What is searched, each after those that its conditions name."""
    start: tuple[Mapping[str, Any], ...]
    """Points that are tried first."""
    objectives: tuple[tuple[str, str], ...]
    """What the search optimises: keys of what an epoch reports, each with max or min; the first decides ties."""
    scheduler: Mapping[str, Any]
    """`name` of the scheduler and its options."""
    trials: int
    """Number of trials when the command line does not say."""
    sampler: str | None = None
    """The sampler when the command line does not say; None for what suits."""
    keep_checkpoints: int = 3
    """Ended trials whose best checkpoint stays on disk, when the command line does not say."""

    @property
    def metric(self) -> str:
        """The first objective, by which trials are stopped early and epochs compared."""
        return self.objectives[0][0]

    @property
    def mode(self) -> str:
        """Of the first objective: max or min."""
        return self.objectives[0][1]

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Ask Optuna for the parameters of one trial; those whose conditions do not hold are absent."""
        return self._filled(lambda parameter: parameter.suggest(trial))

    def draw(self, rng: Generator) -> dict[str, Any]:
        """A random configuration's parameters; those whose conditions do not hold are absent."""
        return self._filled(lambda parameter: parameter.at(rng.random()))

    def neighbour(self, point: Mapping[str, Any], rng: Generator, width: float) -> dict[str, Any]:
        """A configuration near another.

        Args:
            point: the other's parameters.
            rng: of the changes.
            width: standard deviation of a range's change, as a share of it; a choice changes once in five times.
        """

        def moved(parameter: Parameter) -> Any:
            if parameter.key not in point:
                return parameter.at(rng.random())
            if parameter.kind == "choice":
                return parameter.at(rng.random()) if rng.random() < 0.2 else point[parameter.key]
            place = parameter.place(point[parameter.key]) + width * rng.standard_normal()
            return parameter.at(min(max(place, 0.0), 1.0))

        return self._filled(moved)

    def _filled(self, value: Callable[[Parameter], Any]) -> dict[str, Any]:
        """The parameters whose conditions hold, each with what `value` gives for it."""
        values = dict(self._fixed)
        filled: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.applies(values):
                filled[parameter.key] = values[parameter.key] = value(parameter)
        return filled

    def grid(self) -> list[dict[str, Any]]:
        """All combinations of all values, in order, without parameters whose conditions do not hold.

        Raises:
            InputError: a range has no steps, or there are more than `GRID`.
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
            if len(points) > GRID:
                raise InputError(f"--sampler grid: there are more than {GRID} points; search fewer keys or values")
        return points

    def present(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The searched parameters of a complete configuration, without those whose conditions do not hold in it."""
        searched = {parameter.key for parameter in self.parameters}
        values = {key: value for key, value in config.items() if key not in searched}
        for parameter in self.parameters:
            if parameter.applies(values):
                values[parameter.key] = config[parameter.key]
        return {key: value for key, value in values.items() if key in searched}

    def checked_start(self) -> list[dict[str, Any]]:
        """The start points without the parameters that are absent under their conditions."""
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
        searched = {parameter.key for parameter in self.parameters}
        defaults = flatten(Config().to_dict())
        return {key: value for key, value in (defaults | dict(self.base)).items() if key not in searched}
