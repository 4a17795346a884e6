"""The values of a searched key: a range or choices, and the conditions under which it is present.

In Python they are `Float`, `Int` and `Choice`, in YAML the mapping that `to_yaml` gives. Both are checked here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from decouple_search.space.parameter import CONDITIONS, Parameter
from decouplenet.command_line import parse_config
from decouplenet.config import FACTS, Config, check_keys
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError

KINDS = ("int", "float", "choice")
WORDS = (*KINDS, "log", "step", "grow", "when")
ORDERS = ("gt", "ge", "lt", "le")
"""Conditions that compare numbers."""


_Number = TypeVar("_Number", bound=float)


@dataclass(frozen=True)
class _Range(Generic[_Number]):
    """A range of numbers, both ends included."""

    kind: ClassVar[str]
    low: _Number
    high: _Number
    log: bool = field(default=False, kw_only=True)
    """Search on a logarithmic scale."""
    step: _Number | None = field(default=None, kw_only=True)
    """Distance between values, from `low` on."""
    when: Mapping[str, Any] | None = field(default=None, kw_only=True)
    """Conditions on other keys, as in YAML: `{"model.alpha": {"gt": 0}}`. Without them the key is absent."""
    grow: bool = field(default=False, kw_only=True)
    """Let the search widen the range by itself when its best values are at an end."""

    def to_yaml(self) -> dict[str, Any]:
        """The mapping that stands for it in a space's YAML."""
        return _spec(self.kind, [self.low, self.high], log=self.log, step=self.step, grow=self.grow, when=self.when)


class Float(_Range[float]):
    """A range of real numbers, both ends included: `Float(1e-4, 1e-1, log=True)`."""

    kind = "float"


class Int(_Range[int]):
    """A range of whole numbers, both ends included: `Int(1, 16, log=True)`."""

    kind = "int"


@dataclass(frozen=True)
class Choice:
    """Values without an order: `Choice(["none", "arch1"])`."""

    values: Iterable[Any]
    when: Mapping[str, Any] | None = field(default=None, kw_only=True)
    """Conditions on other keys, as for `Float`."""

    def __post_init__(self) -> None:
        """Keep the values of an iterator, which can be read only once."""
        if isinstance(self.values, str) or not isinstance(self.values, Iterable):
            raise InputError(f"Choice: a list of values is needed, not {self.values!r}")
        object.__setattr__(self, "values", tuple(self.values))

    def to_yaml(self) -> dict[str, Any]:
        """The mapping that stands for it in a space's YAML."""
        return _spec("choice", list(self.values), when=self.when)


Domain = Float | Int | Choice


def _spec(kind: str, values: list[Any], **options: Any) -> dict[str, Any]:
    return {
        kind: values,
        **{name: option for name, option in options.items() if option is not None and option is not False},
    }


def read_parameter(key: str, spec: Mapping[str, Any], where: str) -> Parameter:
    """The parameter that a mapping such as `{float: [0, 1], log: true}` describes.

    Args:
        key: the config key.
        spec: the mapping.
        where: its place in the file, for errors.

    Raises:
        InputError: what is wrong.
    """
    if not FACTS[key].searchable:
        raise InputError(f"{where}: it cannot be searched, as all trials share it; put it under 'base'")
    if unknown := [word for word in spec if word not in WORDS]:
        raise InputError(f"{where}: unknown '{unknown[0]}'; valid: {', '.join(WORDS)}")
    kinds = [kind for kind in KINDS if kind in spec]
    if len(kinds) != 1:
        raise InputError(f"{where}: one of int: [low, high], float: [low, high], choice: [values] is needed")
    kind, values = kinds[0], spec[kinds[0]]
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: '{kind}' needs a list, and holds {values!r}")
    if kind == "choice":
        _check_choices(values, where)
    else:
        values = checked_range(kind, values, spec, where)
    grow = _checked_grow(kind, spec, where)
    log, step, when = bool(spec.get("log")), spec.get("step"), _conditions(spec, where)
    return Parameter(key, kind, tuple(values), log, step, when, grow)


def _check_choices(values: list[Any], where: str) -> None:
    for value in values:
        if value is not None and not isinstance(value, (bool, int, float, str)):  # Optuna's categories are these
            raise InputError(
                f"{where}: {value!r} cannot be a choice; choices are null, true, false, numbers and texts: write it in "
                "quotes if the key takes a text, else fix the key under 'base'"
            )
    if any(a == b for i, a in enumerate(values) for b in values[:i]):
        raise InputError(
            f"{where}: two of the choices are equal (1, 1.0 and true count as equal), so they would be mixed up"
        )


def checked_range(kind: str, values: list[Any], spec: Mapping[str, Any], where: str) -> list[Any]:
    """The ends of a range, low and high, as the numbers of its kind.

    Args:
        kind: int or float.
        values: the ends as they were given.
        spec: the mapping that has `log` and `step`.
        where: its place in the file, for errors.

    Raises:
        InputError: what is wrong.
    """
    whole, log, step = kind == "int", spec.get("log", False), spec.get("step")
    numbers = all(map(_is_number, values))
    if len(values) != 2 or not numbers or not values[0] <= values[1] or math.inf in map(abs, values):
        raise InputError(f"{where}: '{kind}' needs [low, high], and holds {values!r}")
    if log and values[0] <= 0:
        raise InputError(f"{where}: a log range must begin above 0, not at {values[0]}")
    if log and step:
        raise InputError(f"{where}: log and step do not go together; drop one")
    if whole and not all(isinstance(value, int) for value in values):
        raise InputError(f"{where}: 'int' needs whole numbers, and holds {values!r}")
    if step is not None and (not _is_number(step) or not 0 < step < math.inf or (whole and step != int(step))):
        raise InputError(f"{where}: step must be a {'whole ' if whole else ''}number above 0, not {step!r}")
    return values if whole else [float(value) for value in values]


def _checked_grow(kind: str, spec: Mapping[str, Any], where: str) -> bool:
    grow = spec.get("grow", False)
    if not isinstance(grow, bool):
        raise InputError(f"{where}: grow must be true or false, not {grow!r}")
    if grow and kind == "choice":
        raise InputError(f"{where}: choices cannot grow; drop grow, or search a range")
    return grow


def _conditions(spec: Mapping[str, Any], where: str) -> dict[str, tuple[str, Any]]:
    """The conditions of `when`: by key, the condition and its operand."""
    when = spec.get("when") or {}
    if not isinstance(when, Mapping):
        raise InputError(f"{where}, when: a mapping is needed, and it holds {when!r}")
    check_keys(when, f"{where}, when")
    conditions = {}
    for key, given in when.items():
        condition = given if isinstance(given, Mapping) else {"eq": given}
        if len(condition) != 1 or next(iter(condition)) not in CONDITIONS:
            raise InputError(f"{where}, when, {key}: one condition is needed; valid: {', '.join(CONDITIONS)}")
        name, operand = next(iter(condition.items()))
        operand = list(operand) if isinstance(operand, tuple) else operand
        conditions[key] = name, operand
        if (name in ("in", "not_in")) != isinstance(operand, list):
            raise InputError(
                f"{where}, when, {key}: in and not_in take a list, the others one value; it is {operand!r}"
            )
        for each in operand if isinstance(operand, list) else [operand]:
            _check_operand(key, name, each, f"{where}, when")
    return conditions


def _check_operand(key: str, condition: str, operand: Any, where: str) -> None:
    """An operand must have the type of the key that it is compared with, and an order compares numbers."""
    if condition not in ORDERS:
        parse_config({"model.pretrained": False, key: operand}, where)  # without weights every backbone is valid
    elif not _is_number(operand) or not _is_number(flatten(Config().to_dict())[key]):
        raise InputError(f"{where}, {key}: {condition} compares numbers; use eq or in for other values")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
