"""The ends of a searched range: which values are at an end, and how far a range may be widened there.

Lengths are on the range's scale: for a logarithmic range a length is a difference of logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from decouple_search.space.domain import checked_range
from decouple_search.space.parameter import Parameter
from decouple_search.space.parts import check_values
from decouplenet.command_line import parse_config
from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError

End = Literal["lower", "upper"]
Ends = tuple[float, float]
"""Low and high."""

AT_END = 0.02
"""Share of a range that counts as its end."""
LEAST_GAIN = 0.05
"""A range is not widened by less than this share of the wanted length: its end is a limit of the key itself."""
HALVINGS = 12
"""Steps of the search for the farthest valid value."""


def share(parameter: Parameter, value: float) -> float:
    """The position of a value between the ends of a range: 0 at the low end, 1 at the high end, on the range's scale.

    Unlike `Parameter.position`, which leaves half a step beyond the first and the last value.
    """
    low, high = map(parameter.scaled, parameter.ends)
    return (parameter.scaled(value) - low) / (high - low) if high > low else 0.5


def end_at(position: float, margin: float = AT_END) -> End | None:
    """The end that a position from 0 to 1 is at; None for a position between them.

    Args:
        position: the position.
        margin: the share of the range that counts as its end.
    """
    return "lower" if position <= margin else "upper" if position >= 1 - margin else None


def shown(ends: Ends) -> str:
    """The ends of a range in brackets, as YAML reads them."""
    return f"[{ends[0]!r}, {ends[1]!r}]"


def length(parameter: Parameter) -> float:
    """The length of a range on its scale."""
    low, high = map(parameter.scaled, parameter.ends)
    return high - low


def widened(parameter: Parameter, end: End, by: float, accepts: Callable[[float], bool]) -> Ends | None:
    """A range with one of its ends farther out.

    Args:
        parameter: the range.
        end: the end that moves.
        by: the wanted length, on the range's scale. A range of whole numbers, or with a step, grows by whole steps.
        accepts: whether the key can have a value. If not that of the wanted end, the farthest valid one is taken.

    Returns:
        The range; None if its end is a limit of the key.
    """
    low, high = parameter.ends
    edge, sign = (low, -1) if end == "lower" else (high, 1)

    def valid(part: float) -> float | None:
        """The value at a part of the wanted length, if it is a valid one."""
        try:
            value = _beyond(parameter, edge, sign * by * part)
        except OverflowError:
            return None
        beyond = sign * (value - edge) > 0 and math.isfinite(value) and not (parameter.log and value <= 0)
        return value if beyond and accepts(value) else None

    if by <= 0:
        return None
    farthest = valid(1.0)
    if farthest is None:
        farthest = _farthest(valid)
    if farthest is None:
        return None
    return (farthest, high) if end == "lower" else (low, farthest)


def config_accepts(base: Mapping[str, Any], key: str) -> Callable[[float], bool]:
    """Whether the config takes a value of a key.

    Args:
        base: the fixed values, dotted.
        key: the searched key.
    """

    def accepts(value: float) -> bool:
        try:
            parse_config({**base, key: value})
        except InputError:
            return False
        return True

    return accepts


def _farthest(valid: Callable[[float], float | None]) -> float | None:
    """The value at the largest valid part of a length, by bisection; None if not even `LEAST_GAIN` is valid."""
    inside, outside = LEAST_GAIN, 1.0
    best = valid(inside)
    for _ in range(HALVINGS if best is not None else 0):
        middle = (inside + outside) / 2
        if (value := valid(middle)) is None:
            outside = middle
        else:
            best, inside = value, middle
    return best


def _beyond(parameter: Parameter, edge: float, distance: float) -> float:
    """The value at a distance from an end, as a short number, or by whole steps."""
    sign = 1 if distance > 0 else -1
    if parameter.step:
        value = edge + sign * parameter.step * max(round(abs(distance) / parameter.step), 1)
        return int(value) if parameter.kind == "int" else round(value, 12)
    exact = parameter.unscaled(parameter.scaled(edge) + distance)
    short = _short(exact, abs(exact - edge), log=parameter.log)
    if parameter.kind == "float":
        return short
    return round(short) if sign * (round(short) - edge) > 0 else int(edge) + sign


def _short(exact: float, distance: float, *, log: bool) -> float:
    """A number of at least three significant digits, and of more where the rounding would matter for the distance."""
    if not log and distance > 0:  # so that a value next to 0 becomes 0
        exact = round(exact, 2 - math.floor(math.log10(distance)))
    short = (float(f"{exact:.{digits}g}") for digits in range(3, 17))
    return next((value for value in short if abs(value - exact) <= 0.1 * distance), exact)


def searched_with(
    ranges: Mapping[str, Any], parameters: Sequence[Parameter], base: Mapping[str, Any], where: str
) -> dict[str, Parameter]:
    """The parameters of a space that get other ends, by key, checked as those of a space's file.

    Args:
        ranges: the ends by key: `{"optim.lr": [0.001, 1.0]}`.
        parameters: the searched parameters.
        base: the fixed values, dotted.
        where: the place of the ranges, for errors.

    Raises:
        InputError: a key that is not searched as a range, or wrong ends.
    """
    searched = {parameter.key: parameter for parameter in parameters if parameter.kind != "choice"}
    changed = {}
    for key, ends in ranges.items():
        if key not in searched:
            hint = nearest(key, searched) if searched else "the space has no range"
            raise InputError(f"{where}: '{key}' is not searched as a range; {hint}")
        parameter, place = searched[key], f"{where}, {key}"
        if not isinstance(ends, (list, tuple)):
            raise InputError(f"{place}: [low, high] is needed, not {ends!r}")
        spec = {"log": parameter.log, "step": parameter.step}
        low, high = checked_range(parameter.kind, list(ends), spec, place)
        changed[key] = parameter.with_range(low, high)
    check_values(base, list(changed.values()), where)
    return changed
