"""The parts of a space as a user gives them, in YAML or in Python, checked one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decouple_search.space.objective import OBJECTIVES, TRIAL_MEASURES, Objective
from decouple_search.space.parameter import Parameter
from decouplenet.command_line import parse_config
from decouplenet.config import check_keys
from decouplenet.dotted_keys import flatten, nearest
from decouplenet.errors import InputError


def mapping_at(value: Any, where: str) -> dict[str, Any]:
    """A mapping; empty where nothing is given.

    Raises:
        InputError: the value is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: a mapping is needed, and it holds {value!r}")
    return dict(value)


def checked_name(value: Any, where: str) -> str | None:
    """A name, or None.

    Raises:
        InputError: the value is something else.
    """
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where}: '{value}' is not a name")
    return value


def checked_count(value: Any, where: str) -> int:
    """A whole number from 1.

    Raises:
        InputError: the value is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{where}: '{value}' is not a whole number from 1")
    return value


def read_objectives(spec: Any, where: str) -> tuple[Objective, ...]:
    """The objectives of a space: a mapping such as `{metric: val_map, mode: max}`, or a list of mappings.

    Raises:
        InputError: an unknown measure or mode, a measure that is there twice, or a first one that epochs share.
    """
    objectives = tuple(_objective(each, where) for each in (spec if isinstance(spec, (list, tuple)) else [spec]))
    if not objectives:
        raise InputError(f"{where}: the list is empty; give {{metric: val_map, mode: max}}")
    metrics = [objective.metric for objective in objectives]
    if metrics[0] in TRIAL_MEASURES:
        raise InputError(f"{where}: {metrics[0]} is the same in every epoch; put a measure first that differs")
    if repeated := [metric for metric in metrics if metrics.count(metric) > 1]:
        raise InputError(f"{where}: '{repeated[0]}' is there twice")
    return objectives


def _objective(spec: Any, where: str) -> Objective:
    if not isinstance(spec, Mapping):
        raise InputError(f"{where}: a mapping is needed, such as {{metric: val_map, mode: max}}, or a list of them")
    for name in spec:
        if name not in ("metric", "mode"):
            raise InputError(f"{where}: unknown '{name}'; valid: metric, mode")
    metric = spec.get("metric", "val_map")
    if metric not in OBJECTIVES:
        raise InputError(f"{where}: unknown metric '{metric}'; {nearest(metric, OBJECTIVES)}")
    mode = spec.get("mode", Objective.natural(metric).mode)
    if mode not in ("max", "min"):
        raise InputError(f"{where}: mode '{mode}' is unknown; valid: max, min")
    return Objective(metric, mode)


def in_order(parameters: Sequence[Parameter], where: str) -> tuple[Parameter, ...]:
    """The parameters in the given order, but each after the searched ones that its conditions name."""
    waiting, ordered = list(parameters), list[Parameter]()
    while waiting:
        later = {parameter.key for parameter in waiting}
        ready = next((p for p in waiting if not later & set(p.when)), None)
        if ready is None:
            raise InputError(f"{where}: the conditions of {', '.join(sorted(later))} refer to one another")
        waiting.remove(ready)
        ordered.append(ready)
    return tuple(ordered)


def read_start(
    content: Any, parameters: Sequence[Parameter], fixed: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], ...]:
    """The points that are tried first.

    Args:
        content: a list of points, each a mapping of searched keys to values.
        parameters: the searched parameters.
        fixed: keys that are given elsewhere, and so count no more in a point.
        where: the place of the list, for errors.

    Raises:
        InputError: what is wrong, and in which point.
    """
    searched = {parameter.key: parameter for parameter in parameters}
    if not isinstance(content or [], (list, tuple)):
        raise InputError(f"{where}: a list of points is needed, and it holds {content!r}")
    points = []
    for number, spec in enumerate(content or [], start=1):
        place = f"{where}, point {number}"
        point = flatten(mapping_at(spec, place))
        check_keys(point, place)
        for key, value in point.items():
            if key in fixed:
                continue
            if key not in searched:
                raise InputError(f"{place}: '{key}' is not searched; {nearest(key, searched)}")
            if not searched[key].contains(value):
                raise InputError(f"{place}: {key} = {value!r} is outside {searched[key]}")
        # A float parameter's 1 is 1.0: for k+ and k- the type decides the meaning.
        points.append(
            {
                key: float(value) if searched[key].kind == "float" else value
                for key, value in point.items()
                if key in searched
            }
        )
    return tuple(points)


def check_values(base: Mapping[str, Any], parameters: Sequence[Parameter], where: str) -> None:
    """Refuse an end of a range or a choice that is no valid value of its config key.

    Raises:
        InputError: the first such value.
    """
    for parameter in parameters:
        for value in parameter.values:
            parse_config({**base, parameter.key: value}, f"{where}, {parameter.key}")
