"""Configurations of a space as rows of numbers, in which distances mean something to a model.

A configuration has a unit per parameter, a number in [0, 1] that it is drawn by, and from its units a row. All is done
for many configurations at the same time: a proposal compares hundreds.

Shapes: q configurations, d parameters, c columns.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouple_search.space.parameter import CONDITIONS, Parameter
from decouple_search.space.space import Space

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

CHANGED_CHOICE = 0.2
"""The probability that a neighbour has another value of a choice."""
CHANGED_AT_A_TIME = 6
"""The number of parameters, on average, in which a neighbour differs where there are more."""


class Encoding:
    """The rows of a space's configurations.

    A range has one column, the position in [0, 1] on the range's scale. A choice has one column per value, so that two
    different values are at distance 1. A parameter with conditions has a further column, which says whether it is
    present: an absent parameter is at a distance of at least 1 from a present one, whatever the latter's value.

    Args:
        space: the searched space.
    """

    def __init__(self, space: Space) -> None:
        self._space, self._parameters = space, space.parameters
        widths = [_width(parameter) for parameter in self._parameters]
        self.owners: NDArray[np.intp] = np.repeat(np.arange(len(widths)), widths)
        """The parameter that each of the c columns belongs to."""

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """The units of random configurations, q×d."""
        return rng.random((count, len(self._parameters)))

    def neighbours(self, units: Array, count: int, width: float, rng: np.random.Generator) -> Array:
        """The units of configurations near others, `count` for each.

        Args:
            units: q×d, of the others.
            count: number of neighbours of each.
            width: standard deviation of the change of a range, as a share of the range.
            rng: the generator of the changes.
        """
        near = np.repeat(units, count, axis=0)
        moved = np.clip(near + width * rng.standard_normal(near.shape), 0.0, 1.0)
        choices = np.array([parameter.kind == "choice" for parameter in self._parameters])
        moved[:, choices] = rng.random((len(near), int(choices.sum())))
        share = np.where(choices, CHANGED_CHOICE, min(1.0, CHANGED_AT_A_TIME / len(choices)))
        changed: Array = np.where(rng.random(near.shape) < share, moved, near)
        return changed

    def listed(self, limit: int) -> Array | None:
        """The units of all configurations; None if there are more than `limit`."""
        counts = [parameter.count for parameter in self._parameters]
        if math.prod(count or limit + 1 for count in counts) > limit:
            return None
        columns = [
            [_unit(parameter, {parameter.key: value}) for value in parameter.steps() or ()]
            for parameter in self._parameters
        ]
        return np.array(list(itertools.product(*columns)))

    def point(self, units: Array) -> dict[str, Any]:
        """The configuration of d units. A parameter whose conditions do not hold is absent."""
        return self._space.filled(
            {
                parameter.key: parameter.value_at(unit)
                for parameter, unit in zip(self._parameters, units.tolist(), strict=True)
            }
        )

    def units(self, points: Sequence[Mapping[str, Any]]) -> Array:
        """The units of configurations, q×d. An absent parameter is in the middle."""
        return np.array([[_unit(parameter, point) for parameter in self._parameters] for point in points])

    def rows(self, units: Array) -> Array:
        """The rows of the configurations of q×d units, q×c."""
        values: dict[str, Array] = {}  # by key, of ranges; an absent value is NaN, which meets no condition
        codes: dict[str, NDArray[np.intp]] = {}  # by key, of choices; an absent value is -1
        columns: list[Array] = []
        for parameter, unit in zip(self._parameters, units.T, strict=True):
            present = self._present(parameter, values, codes, len(units))
            if parameter.kind == "choice":
                size = len(parameter.values)
                code = np.minimum((unit * size).astype(int), size - 1)
                codes[parameter.key] = np.where(present, code, -1)
                columns += list(np.eye(size)[code].T * math.sqrt(0.5) * present)
            else:
                value, position = parameter.at(unit)
                values[parameter.key] = np.where(present, value, np.nan)
                columns.append(position * present)
            if parameter.when:
                columns.append(present.astype(float))
        return np.stack(columns, axis=1)

    def _present(
        self, parameter: Parameter, values: Mapping[str, Array], codes: Mapping[str, NDArray[np.intp]], count: int
    ) -> Mask:
        present = np.ones(count, dtype=bool)
        for key, (name, operand) in parameter.when.items():
            condition = CONDITIONS[name]
            if key in codes:
                holds = [condition(choice, operand) for choice in self._space.values_of(key)]
                present &= np.array([*holds, False])[codes[key]]  # -1 is the last
            elif key in values:
                each = [not math.isnan(value) and condition(value, operand) for value in values[key].tolist()]
                present &= np.array(each, dtype=bool)
            else:
                present &= condition(self._space.fixed(key), operand)
        return present


def _width(parameter: Parameter) -> int:
    return (len(parameter.values) if parameter.kind == "choice" else 1) + bool(parameter.when)


def _unit(parameter: Parameter, point: Mapping[str, Any]) -> float:
    if parameter.key not in point:  # None may be a choice
        return 0.5
    if parameter.kind == "choice":
        return (parameter.values.index(point[parameter.key]) + 0.5) / len(parameter.values)
    return min(max(parameter.position(point[parameter.key]), 0.0), 1.0)
