"""One searched key of a space: its values, when it is absent, and what Optuna is asked for."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

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
    """One searched key."""

    key: str
    """Its dotted name."""
    kind: str
    """int, float or choice."""
    values: tuple[Any, ...]
    """(low, high), or the choices."""
    log: bool = False
    """Whether the range is searched on a logarithmic scale."""
    step: int | float | None = None
    """Distance between values, for a range that has one."""
    when: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    """Other keys and the (condition, operand) that each must meet, or this one is absent."""

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether the conditions hold in a configuration; a key that is absent meets none."""
        return all(key in values and CONDITIONS[name](values[key], to) for key, (name, to) in self.when.items())

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
        """What `suggest` asks Optuna for."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution(self.values)
        low, high = self.values
        if self.kind == "int":
            return IntDistribution(low, high, log=self.log, step=int(self.step or 1))
        return FloatDistribution(low, high, log=self.log, step=self.step)

    def place(self, value: float) -> float:
        """Where a value of a range stands in it, from 0 to 1 on its scale."""
        low, high = self._ends()
        return (self._scaled(value) - low) / (high - low)

    def at(self, place: float) -> Any:
        """The value at a place from 0 to 1: of a range on its scale, of choices in their order."""
        if self.kind == "choice":
            return self.values[min(int(place * len(self.values)), len(self.values) - 1)]
        low, high = self._ends()
        scaled = low + place * (high - low)
        value = math.exp(scaled) if self.log else scaled
        least, most = self.values
        step = self.step or (1 if self.kind == "int" else None)
        if step:
            value = least + round((value - least) / step) * step
            most = least + int((most - least) / step + 1e-9) * step
        value = min(max(value, least), most)
        return int(value) if self.kind == "int" else value

    def steps(self) -> list[Any] | None:
        """All values; None where they are endless."""
        if self.kind == "choice":
            return list(self.values)
        step = self.step or (1 if self.kind == "int" else None)
        if step is None:
            return None
        low, high = self.values
        return [low + i * step for i in range(int((high - low) / step + 1e-9) + 1)]

    def _ends(self) -> tuple[float, float]:
        """The ends of a range on its scale; half a step beyond them, so that each value has as much room."""
        half = (self.step or (1 if self.kind == "int" else 0)) / 2
        low, high = self._scaled(self.values[0] - half), self._scaled(self.values[1] + half)
        return low, high if high > low else low + 1.0

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else float(value)

    def contains(self, value: Any) -> bool:
        """Whether a value is one that the search could propose."""
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
            text += f", step {self.step}" if self.step else ""
        conditions = [f"{key} {name} {to}" for key, (name, to) in self.when.items()]
        return text + (f", when {' and '.join(conditions)}" if conditions else "")
