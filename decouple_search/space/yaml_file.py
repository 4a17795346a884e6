"""A search space's YAML file, checked.

base: {model: {backbone: resnet101}}             # fixed values, any config key
search:
  model.alpha: {float: [0.0, 1.0]}               # float or int: [low, high], with log and step
  model.attention: {choice: [none, arch1]}
  model.k_neg: {float: [0.01, 1.0], log: true, when: {model.alpha: {gt: 0}}}
start: [{model.alpha: 0.7}]                      # tried first
objective: {metric: val_map, mode: max}          # or a list of objectives
scheduler: {name: asha, grace_epochs: 1, reduction_factor: 3}
trials: 24                                       # the command line may override this and the next two
sampler: gp
keep_checkpoints: 3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from decouple_search.space.objective import OBJECTIVES, TRIAL_MEASURES, Objective
from decouple_search.space.parameter import Parameter
from decouple_search.space.parameter_file import read_parameter
from decouple_search.space.space import Space
from decouplenet.command_line import parse_config
from decouplenet.config import check_keys
from decouplenet.dotted_keys import flatten, nearest
from decouplenet.errors import InputError
from decouplenet.yaml_text import load_yaml

KEYS = ("base", "search", "start", "objective", "scheduler", "trials", "sampler", "keep_checkpoints")
DEFAULT_COUNTS = {"trials": 20, "keep_checkpoints": 3}


def load_space(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Space:
    """Read a search space. Every key, range and start point is checked before anything starts.

    Args:
        path: the YAML file.
        overrides: config keys given on the command line, dotted. A searched key that is given here becomes fixed.

    Raises:
        InputError: what is wrong, and where.
    """
    path, overrides = Path(path), dict(overrides or {})
    content = load_yaml(path)
    for key in content:
        if key not in KEYS:
            raise InputError(f"{path}: unknown key '{key}'; {nearest(str(key), KEYS)}")
    base = flatten(mapping_at(content.get("base"), f"{path}, base")) | overrides
    parse_config(base, f"{path}, base, with the command line" if overrides else f"{path}, base")
    search = mapping_at(content.get("search"), f"{path}, search")
    check_keys(search, f"{path}, search")
    parameters = [
        read_parameter(key, mapping_at(spec, f"{path}, search, {key}"), f"{path}, search, {key}")
        for key, spec in search.items()
        if key not in overrides
    ]
    if not parameters:
        raise InputError(f"{path}: nothing is searched; add keys under 'search' or fix fewer on the command line")
    space = Space(
        name=path.stem,
        base=base,
        parameters=_in_order(parameters, path),
        start=tuple(_start_points(content.get("start"), parameters, overrides, path)),
        objectives=_objectives(content.get("objective") or {}, f"{path}, objective"),
        scheduler=mapping_at(content.get("scheduler"), f"{path}, scheduler") or {"name": "asha"},
        sampler=_name(content.get("sampler"), f"{path}, sampler"),
        **{key: _count(content.get(key, default), f"{path}, {key}") for key, default in DEFAULT_COUNTS.items()},
    )
    _check_values(space, path)
    return space


def mapping_at(value: Any, where: str) -> dict[str, Any]:
    """A mapping of the file; empty where nothing is given.

    Raises:
        InputError: the value is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{where}: a mapping is needed, and it holds {value!r}")
    return value


def _name(value: Any, where: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where}: '{value}' is not a name")
    return value


def _count(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{where}: '{value}' is not a whole number from 1")
    return value


def _objectives(spec: Any, where: str) -> tuple[Objective, ...]:
    """The objectives of a space: a mapping, or a list of mappings."""
    objectives = tuple(_objective(each, where) for each in (spec if isinstance(spec, list) else [spec]))
    if not objectives:
        raise InputError(f"{where}: the list is empty; give {{metric: val_map, mode: max}}")
    metrics = [objective.metric for objective in objectives]
    if metrics[0] in TRIAL_MEASURES:
        raise InputError(f"{where}: {metrics[0]} is the same in every epoch; put a measure first that differs")
    if repeated := [metric for metric in metrics if metrics.count(metric) > 1]:
        raise InputError(f"{where}: '{repeated[0]}' is there twice")
    return objectives


def _objective(spec: Any, where: str) -> Objective:
    if not isinstance(spec, dict):
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


def _in_order(parameters: Sequence[Parameter], path: Path) -> tuple[Parameter, ...]:
    """The parameters in the file's order, but each after the searched ones that its conditions name."""
    waiting, ordered = list(parameters), list[Parameter]()
    while waiting:
        later = {parameter.key for parameter in waiting}
        ready = next((p for p in waiting if not later & set(p.when)), None)
        if ready is None:
            raise InputError(f"{path}, search: the conditions of {', '.join(sorted(later))} refer to one another")
        waiting.remove(ready)
        ordered.append(ready)
    return tuple(ordered)


def _start_points(
    content: Any, parameters: Sequence[Parameter], overrides: Mapping[str, Any], path: Path
) -> list[dict[str, Any]]:
    searched = {parameter.key: parameter for parameter in parameters}
    if not isinstance(content or [], list):
        raise InputError(f"{path}, start: a list of points is needed, and it holds {content!r}")
    points = []
    for number, spec in enumerate(content or [], start=1):
        where = f"{path}, start, point {number}"
        point = flatten(mapping_at(spec, where))
        check_keys(point, where)
        for key, value in point.items():
            if key in overrides:
                continue
            if key not in searched:
                raise InputError(f"{where}: '{key}' is not searched; {nearest(key, searched)}")
            if not searched[key].contains(value):
                raise InputError(f"{where}: {key} = {value!r} is outside {searched[key]}")
        # A float parameter's 1 is 1.0: for k+ and k- the type decides the meaning.
        points.append(
            {
                key: float(value) if searched[key].kind == "float" else value
                for key, value in point.items()
                if key in searched
            }
        )
    return points


def _check_values(space: Space, path: Path) -> None:
    """Each end of a range and each choice must be a valid value of its config key."""
    for parameter in space.parameters:
        for value in parameter.values:
            parse_config({**space.base, parameter.key: value}, f"{path}, search, {parameter.key}")
