"""A search space's YAML file, checked.

base: {model: {backbone: resnet101}}             # fixed values, any config key
search:
  model.alpha: {float: [0.0, 1.0]}               # float or int: [low, high], with log and step
  model.attention: {choice: [none, arch1]}
  model.k_neg: {float: [0.01, 1.0], log: true, when: {model.alpha: {gt: 0}}}
start: [{model.alpha: 0.7}]                      # tried first
objective: {metric: val_map, mode: max}          # or a list of them
scheduler: {name: asha, grace_epochs: 1, reduction_factor: 3}
trials: 24                                       # unless --trials says otherwise, as for the next two
sampler: gp
keep_checkpoints: 3
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decouple_search.space.parameter import CONDITIONS, Parameter
from decouple_search.space.space import Space
from decouplenet.command_line import parse_config
from decouplenet.config import Config, check_keys, flatten, load_yaml, nearest
from decouplenet.errors import InputError

# What an epoch reports and a search can optimise.
OBJECTIVES = (
    *(f"val_{name}" for name in ("map", "map_plain", "p_c", "r_c", "f1_c", "f1_c_harmonic", "p_o", "r_o", "f1_o")),
    *("val_loss", "train_loss", "images_per_second", "parameters", "latency_ms"),
)
LESS_IS_BETTER = ("val_loss", "train_loss", "parameters", "latency_ms")
# A gang and ASHA's last rung are made for one value of these.
FIXED = ("scaling.", "train.epochs", "train.strategy")


def load_space(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Space:
    """Read a search space; every key, range and start point is checked before anything starts.

    Args:
        path: the YAML file.
        overrides: config keys given on the command line, dotted; one that the space searches becomes fixed.

    Raises:
        InputError: what is wrong, and where.
    """
    path, overrides = Path(path), dict(overrides or {})
    raw = load_yaml(path)
    valid = ("base", "search", "start", "objective", "scheduler", "trials", "sampler", "keep_checkpoints")
    for key in raw:
        if key not in valid:
            raise InputError(f"{path}: unknown key '{key}'; {nearest(str(key), valid)}")
    base = flatten(_mapping(raw.get("base"), path, "base"))
    base |= overrides
    parse_config(base, f"{path}, base, with the command line" if overrides else f"{path}, base")
    search = _mapping(raw.get("search"), path, "search")
    check_keys(search, f"{path}, search")
    parameters = [_parameter(key, spec, path) for key, spec in search.items() if key not in overrides]
    if not parameters:
        raise InputError(f"{path}: nothing is searched; add keys under 'search' or fix fewer on the command line")
    objectives = _objectives(raw.get("objective") or {}, path)
    counts = {"trials": raw.get("trials", 20), "keep_checkpoints": raw.get("keep_checkpoints", 3)}
    for key, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise InputError(f"{path}, {key}: '{count}' is not a whole number from 1")
    sampler = raw.get("sampler")
    if sampler is not None and not isinstance(sampler, str):
        raise InputError(f"{path}, sampler: '{sampler}' is not a name")
    space = Space(
        name=path.stem,
        base=base,
        parameters=_in_order(parameters, path),
        start=tuple(_start_points(raw.get("start"), parameters, overrides, path)),
        objectives=objectives,
        scheduler=_mapping(raw.get("scheduler"), path, "scheduler") or {"name": "asha"},
        sampler=sampler,
        **counts,
    )
    _check_values(space, path)
    return space


def _objectives(spec: Any, path: Path) -> tuple[tuple[str, str], ...]:
    """The objectives of a space: one mapping, or a list of them."""
    where = f"{path}, objective"
    found = [_objective(one, where) for one in (spec if isinstance(spec, list) else [spec])]
    if not found:
        raise InputError(f"{where}: the list is empty; give {{metric: val_map, mode: max}}")
    metrics = [metric for metric, _ in found]
    if metrics[0] in ("parameters", "latency_ms"):
        raise InputError(f"{where}: {metrics[0]} is the same in every epoch; put one that tells epochs apart first")
    if twice := [metric for metric in metrics if metrics.count(metric) > 1]:
        raise InputError(f"{where}: '{twice[0]}' is there twice")
    return tuple(found)


def _objective(spec: Any, where: str) -> tuple[str, str]:
    if not isinstance(spec, dict):
        raise InputError(f"{where}: a mapping is needed, such as {{metric: val_map, mode: max}}, or a list of them")
    for name in spec:
        if name not in ("metric", "mode"):
            raise InputError(f"{where}: unknown '{name}'; valid: metric, mode")
    metric = spec.get("metric", "val_map")
    if metric not in OBJECTIVES:
        raise InputError(f"{where}: unknown metric '{metric}'; {nearest(metric, OBJECTIVES)}")
    mode = spec.get("mode", "min" if metric in LESS_IS_BETTER else "max")
    if mode not in ("max", "min"):
        raise InputError(f"{where}: mode '{mode}' is unknown; valid: max, min")
    return metric, mode


def _parameter(key: str, spec: Any, path: Path) -> Parameter:
    where = f"{path}, search, {key}"
    if key.startswith(FIXED):
        raise InputError(f"{where}: it cannot be searched, as all trials share it; put it under 'base'")
    spec = _mapping(spec, path, f"search, {key}")
    kinds = [kind for kind in ("int", "float", "choice") if kind in spec]
    unknown = [name for name in spec if name not in ("int", "float", "choice", "log", "step", "when")]
    if unknown:
        raise InputError(f"{where}: unknown '{unknown[0]}'; valid: int, float, choice, log, step, when")
    if len(kinds) != 1:
        raise InputError(f"{where}: one of int: [low, high], float: [low, high], choice: [values] is needed")
    kind, values, log = kinds[0], spec[kinds[0]], spec.get("log", False)
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: '{kind}' needs a list, and holds {values!r}")
    if kind != "choice":
        numbers = all(_is_number(v) for v in values)
        if len(values) != 2 or not numbers or not values[0] <= values[1] or math.inf in map(abs, values):
            raise InputError(f"{where}: '{kind}' needs [low, high], and holds {values!r}")
        if log and values[0] <= 0:
            raise InputError(f"{where}: a log range must begin above 0, not at {values[0]}")
        if log and spec.get("step"):
            raise InputError(f"{where}: log and step do not go together; drop one")
        if kind == "int" and not all(isinstance(v, int) for v in values):
            raise InputError(f"{where}: 'int' needs whole numbers, and holds {values!r}")
        step, whole = spec.get("step"), kind == "int"
        if step is not None and (not _is_number(step) or not 0 < step < math.inf or (whole and step != int(step))):
            raise InputError(f"{where}: step must be a {'whole ' if whole else ''}number above 0, not {step!r}")
        values = [float(v) for v in values] if kind == "float" else values
    elif any(a == b for i, a in enumerate(values) for b in values[:i]):
        raise InputError(
            f"{where}: two of the choices are equal (1, 1.0 and true count as such), so they would be mixed up"
        )
    when = {}
    for other, condition in _mapping(spec.get("when"), path, f"search, {key}, when").items():
        check_keys([other], f"{where}, when")
        condition = condition if isinstance(condition, dict) else {"eq": condition}
        if len(condition) != 1 or next(iter(condition)) not in CONDITIONS:
            raise InputError(f"{where}, when, {other}: one condition is needed; valid: {', '.join(CONDITIONS)}")
        name, to = when[other] = next(iter(condition.items()))
        if (name in ("in", "not_in")) != isinstance(to, list):
            raise InputError(f"{where}, when, {other}: in and not_in take a list, the others one value; it is {to!r}")
        for operand in to if isinstance(to, list) else [to]:
            _check_operand(other, name, operand, f"{where}, when")
    return Parameter(key, kind, tuple(values), bool(log), spec.get("step"), when)


def _check_operand(key: str, condition: str, operand: Any, where: str) -> None:
    """What a key is compared with must be of its type, and for the orders a number."""
    if condition not in ("gt", "ge", "lt", "le"):
        parse_config({"model.pretrained": False, key: operand}, where)  # without weights every backbone is valid
    elif not _is_number(operand) or not _is_number(flatten(Config().to_dict())[key]):
        raise InputError(f"{where}, {key}: {condition} compares numbers; use eq or in for what is none")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _in_order(parameters: list[Parameter], path: Path) -> tuple[Parameter, ...]:
    """Each parameter after the searched ones that its conditions name, else in the file's order."""
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
    raw: Any, parameters: list[Parameter], overrides: Mapping[str, Any], path: Path
) -> list[dict[str, Any]]:
    known = {parameter.key: parameter for parameter in parameters}
    if not isinstance(raw or [], list):
        raise InputError(f"{path}, start: a list of points is needed, and it holds {raw!r}")
    points = []
    for number, point in enumerate(raw or [], start=1):
        where = f"{path}, start, point {number}"
        flat = flatten(_mapping(point, path, f"start, point {number}"))
        check_keys(flat, where)
        for key, value in flat.items():
            if key in overrides:
                continue
            if key not in known:
                raise InputError(f"{where}: '{key}' is not searched; {nearest(key, known)}")
            if not known[key].contains(value):
                raise InputError(f"{where}: {key} = {value!r} is outside {known[key]}")
        # A float parameter's 1 is 1.0: for k+ and k- the type decides what is meant.
        kinds = {
            key: float if known[key].kind == "float" else type(value) for key, value in flat.items() if key in known
        }
        points.append({key: kinds[key](flat[key]) for key in kinds})
    return points


def _check_values(space: Space, path: Path) -> None:
    """Each value that a parameter may take, at the ends of its range, must be valid as that config key."""
    for parameter in space.parameters:
        for value in parameter.values:
            parse_config({**space.base, parameter.key: value}, f"{path}, search, {parameter.key}")


def _mapping(value: Any, path: Path, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}, {where}: a mapping is needed, and it holds {value!r}")
    return value
