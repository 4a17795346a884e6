"""A searched key of a space: its values, the conditions under which it is present, and its Optuna distribution."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from numpy import float64
    from numpy.typing import NDArray
    from optuna.distributions import BaseDistribution

    Array = NDArray[float64]

CONDITIONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "in": lambda value, allowed: value in allowed,
    "not_in": lambda value, refused: value not in refused,
}


@dataclass(frozen=True)
class Parameter:
    """A searched key."""

    key: str
    """The dotted name."""
    kind: str
    """int, float or choice."""
    values: tuple[Any, ...]
    """(low, high), or the choices."""
    log: bool = False
    """Whether the range is searched on a logarithmic scale."""
    step: int | float | None = None
    """Distance between values, for a range that has one."""
    when: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    """Other keys, and the (condition, operand) that each must meet. Otherwise this parameter is absent."""
    grow: bool = False
    """Whether the search widens the range by itself when the best values are at its end."""

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the conditions hold in a configuration. An absent key meets no condition."""
        return all(
            key in values and CONDITIONS[condition](values[key], operand)
            for key, (condition, operand) in self.when.items()
        )

    def suggest(self, trial: optuna.Trial) -> Any:
        """Ask Optuna for a value."""
        if self.kind == "choice":
            return trial.suggest_categorical(self.key, self.values)
        low, high = self.values
        if self.kind == "int":
            return trial.suggest_int(self.key, low, high, step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.key, low, high, step=self.step, log=self.log)

    @property
    def distribution(self) -> BaseDistribution:
        """The Optuna distribution that `suggest` draws from."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution(self.values)
        low, high = self.values
        if self.kind == "int":
            return IntDistribution(low, high, log=self.log, step=int(self.step or 1))
        return FloatDistribution(low, high, log=self.log, step=self.step)

    def position(self, value: float) -> float:
        """The position of a value in its range, from 0 to 1 on the range's scale; beyond them for a value outside."""
        low, high = self._ends()
        return (self.scaled(value) - low) / (high - low)

    def value_at(self, position: float) -> Any:
        """The value at a position from 0 to 1: of a range on its scale, of choices in their order."""
        if self.kind == "choice":
            return self.values[min(int(position * len(self.values)), len(self.values) - 1)]
        import numpy as np

        value = self.at(np.array([position]))[0].item()
        return int(value) if self.kind == "int" else value

    def at(self, positions: Array) -> tuple[Array, Array]:
        """The values of a range at positions from 0 to 1 on its scale, and the values' own positions."""
        import numpy as np

        scaled_low, scaled_high = self._ends()
        scaled = scaled_low + positions * (scaled_high - scaled_low)
        values, (first, last), spacing = np.exp(scaled) if self.log else scaled, self.ends, self.spacing
        if spacing:
            values = first + np.round((values - first) / spacing) * spacing
        values = np.clip(values, first, last)
        back = np.log(values) if self.log else values
        return values, (back - scaled_low) / (scaled_high - scaled_low)

    @property
    def spacing(self) -> int | float | None:
        """Distance between the values of a range; None for a range without steps."""
        return self.step or (1 if self.kind == "int" else None)

    @property
    def count(self) -> int | None:
        """The number of values; None for a range without steps."""
        if self.kind == "choice":
            return len(self.values)
        return int((self.values[1] - self.values[0]) / self.spacing + 1e-9) + 1 if self.spacing else None

    @property
    def ends(self) -> tuple[Any, Any]:
        """The first and the last value of a range. With a step, the last may be below the given high end."""
        low, high = self.values
        if not self.step or self.count is None:
            return low, high
        last = low + (self.count - 1) * self.step
        return low, int(last) if self.kind == "int" else round(last, 12)

    def steps(self) -> list[Any] | None:
        """All values; None for a range without steps."""
        if self.kind == "choice":
            return list(self.values)
        return None if self.count is None else [self.values[0] + i * (self.spacing or 1) for i in range(self.count)]

    def _ends(self) -> tuple[float, float]:
        """The ends of a range on its scale, half a step beyond the values, so that each value has the same share."""
        half = (self.spacing or 0) / 2
        low, high = self.scaled(self.ends[0] - half), self.scaled(self.ends[1] + half)
        return low, high if high > low else low + 1.0

    def scaled(self, value: float) -> float:
        """A value on the range's scale: its logarithm where the range is searched so."""
        return math.log(value) if self.log else float(value)

    def unscaled(self, scaled: float) -> float:
        """The value of a number on the range's scale."""
        return math.exp(scaled) if self.log else scaled

    def with_range(self, low: float, high: float) -> Parameter:
        """The same range with other ends."""
        return replace(self, values=(low, high))

    def contains(self, value: Any) -> bool:
        """Whether the search could propose a value."""
        if self.kind == "choice":
            return any(value == choice and type(value) is type(choice) for choice in self.values)
        numeric = isinstance(value, int if self.kind == "int" else (int, float)) and not isinstance(value, bool)
        if not numeric or not self.values[0] <= value <= self.values[1]:
            return False
        steps = (value - self.values[0]) / self.step if self.step else 0
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    def __str__(self) -> str:
        if self.kind == "choice":
            text = " | ".join(str(value) for value in self.values)
        else:
            text = f"{self.kind} {self.values[0]} to {self.values[1]}{', log' if self.log else ''}"
            text += (f", step {self.step}" if self.step else "") + (", grow" if self.grow else "")
        conditions = [f"{key} {condition} {operand}" for key, (condition, operand) in self.when.items()]
        return text + (f", when {' and '.join(conditions)}" if conditions else "")
