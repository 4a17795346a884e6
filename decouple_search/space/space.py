"""A search space: fixed values, searched parameters with their conditions, and random configurations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from decouple_search.space.domain import Domain, read_parameter
from decouple_search.space.finalists import FinalistPlan, read_finalists
from decouple_search.space.objective import Mode, Objective
from decouple_search.space.parameter import Parameter
from decouple_search.space.parts import (
    check_values,
    checked_count,
    checked_name,
    in_order,
    mapping_at,
    read_objectives,
    read_start,
)
from decouple_search.space.ranges import searched_with
from decouple_search.space.screen import ScreenPlan, read_screen
from decouplenet.command_line import parse_config
from decouplenet.config import FACTS, Config, check_keys
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError

if TYPE_CHECKING:
    import optuna
    from numpy.random import Generator

MAX_GRID_POINTS = 100_000
"""The most points of a grid."""


class Space:
    """A search space, checked: fixed values, searched keys, and how they are searched.

    Args:
        search: the searched config keys, dotted, each with a `Float`, `Int` or `Choice`, or with its YAML mapping.
        base: fixed values of config keys, dotted or nested; other keys have their defaults.
        start: points that are tried first, each a mapping of searched keys to values.
        objective: `{"metric": "val_map", "mode": "max"}` (the default), or a list of such mappings.
        scheduler: `name` and its options; by default `{"name": "promotion"}`.
        trials: number of trials where the search does not give it.
        sampler: name of the sampler where the search does not give it; None for the sampler that suits the search.
        keep_checkpoints: ended trials whose best checkpoint stays on disk, where the search does not give the number.
        finalists: `{"count": 3, "seeds": 3}`: the best configurations that are trained anew with fresh seeds.
        screen: `{"count": 64, "epochs": 4}`: the heads that are screened first; `auto` as the count, or alone, lets
            the search choose.
        name: name of the space; an experiment's default name begins with it.
        fixed: keys that were given elsewhere, dotted. They win over `base`, and a searched key among them is fixed.
        where: place of the space, for errors.

    Raises:
        InputError: what is wrong, and where.
    """

    name: str
    where: str
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
    sampler: str | None
    keep_checkpoints: int
    finalists: FinalistPlan | None
    """The finalists where the search does not give them."""
    screen: ScreenPlan | None
    """The screened heads where the search does not give their number; None for none."""

    def __init__(
        self,
        search: Mapping[str, Domain | Mapping[str, Any]],
        *,
        base: Mapping[str, Any] | None = None,
        start: Sequence[Mapping[str, Any]] = (),
        objective: Mapping[str, str] | Sequence[Mapping[str, str]] | None = None,
        scheduler: Mapping[str, Any] | None = None,
        trials: int = 20,
        sampler: str | None = None,
        keep_checkpoints: int = 3,
        finalists: Mapping[str, int] | None = None,
        screen: Mapping[str, Any] | str | None = None,
        name: str = "space",
        fixed: Mapping[str, Any] | None = None,
        where: str = "Space",
    ) -> None:
        fixed = flatten(fixed or {})
        self._given: dict[str, Any] = {"search": search, "base": base, "start": start, "objective": objective}
        self._given |= {"scheduler": scheduler, "trials": trials, "sampler": sampler}
        self._given |= {"finalists": finalists, "screen": screen}
        self._given |= {"keep_checkpoints": keep_checkpoints, "name": name, "fixed": fixed, "where": where}
        self.name, self.where = name, where
        self.base = flatten(mapping_at(base, f"{where}, base")) | fixed
        parse_config(self.base, f"{where}, base, with the given keys" if fixed else f"{where}, base")
        domains = mapping_at(search, f"{where}, search")
        check_keys(domains, f"{where}, search")
        parameters = [_parameter(*item, f"{where}, search") for item in domains.items() if item[0] not in fixed]
        if not parameters:
            raise InputError(f"{where}: nothing is searched; add keys under 'search' or fix fewer of them")
        self.parameters = in_order(parameters, f"{where}, search")
        self.start = read_start(start, parameters, fixed, f"{where}, start")
        self.objectives = read_objectives(objective or {}, f"{where}, objective")
        self.scheduler = mapping_at(scheduler, f"{where}, scheduler") or {"name": "promotion"}
        self.sampler = checked_name(sampler, f"{where}, sampler")
        self.trials = checked_count(trials, f"{where}, trials")
        self.keep_checkpoints = checked_count(keep_checkpoints, f"{where}, keep_checkpoints")
        self.finalists = read_finalists(finalists, f"{where}, finalists")
        self.screen = read_screen(screen, f"{where}, screen")
        check_values(self.base, self.parameters, f"{where}, search")

    @classmethod
    def of_parameters(cls, name: str, parameters: Sequence[Parameter], objective: Objective) -> Space:
        """A space of parameters that need not be config keys, for a table of recorded trainings."""
        space = cls.__new__(cls)
        space.name, space.where, space.parameters, space.objectives = name, name, tuple(parameters), (objective,)
        space.base, space.start, space.scheduler = {}, (), {"name": "promotion"}
        space.trials, space.sampler, space.keep_checkpoints = 1, None, 3
        space.finalists, space.screen = None, None
        return space

    def with_fixed(self, keys: Mapping[str, Any]) -> Space:
        """The space with config keys fixed, dotted. They win over its base, and are no longer searched.

        Raises:
            InputError: an unknown key or a wrong value, or nothing is left to search.
        """
        return Space(**self._given | {"fixed": {**self._given["fixed"], **keys}}) if keys else self

    @cached_property
    def heads(self) -> Space | None:
        """The space of what can be judged on the feature maps of a frozen backbone; None if nothing can.

        The other searched keys have the values of the base.
        """
        others = {key: self.default(key) for key in self.keys if FACTS[key].images_only}
        return None if len(others) == len(self.keys) else self.with_fixed(others)

    def default(self, key: str) -> Any:
        """The value that a searched key has where it is not searched: that of the base, or its default."""
        return self.base.get(key, flatten(Config().to_dict())[key])

    def with_ranges(self, ranges: Mapping[str, Any], where: str = "ranges") -> Space:
        """The space with other ends of ranges: `space.with_ranges({"optim.lr": [1e-4, 0.1]})`.

        Args:
            ranges: low and high by searched key.
            where: the place of the ranges, for errors.

        Raises:
            InputError: a key that is not searched as a range, wrong ends, or a start point outside of them.
        """
        changed = searched_with(ranges, self.parameters, self.base, where)
        if not changed:
            return self
        search = dict(self._given["search"])
        for key, parameter in changed.items():
            search[key] = _spec(search[key], where) | {parameter.kind: list(parameter.values)}
        return Space(**self._given | {"search": search})

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

    def parameter(self, key: str) -> Parameter | None:
        """The parameter of a key; None if the key is not searched."""
        return next((parameter for parameter in self.parameters if parameter.key == key), None)

    def values_of(self, key: str) -> tuple[Any, ...]:
        """The choices, or the ends of the range, of a searched key; empty if it is not searched."""
        parameter = self.parameter(key)
        return parameter.values if parameter else ()

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

    def draw_all(self, rng: Generator) -> dict[str, Any]:
        """Random values of all searched keys, also of those whose conditions do not hold."""
        return {parameter.key: parameter.value_at(rng.random()) for parameter in self.parameters}

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration that takes its values from those of all keys, without parameters that do not apply."""
        return self._filled(lambda parameter: values[parameter.key])

    def fixed(self, key: str) -> Any:
        """The value of a config key that is not searched."""
        return self._fixed[key]

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

    def start_in_full(self) -> list[dict[str, Any]]:
        """The start points that a search which screens heads trains in full: those of which a screen cannot judge all.

        They have a value, other than the base's, of a key that only full trials can judge.
        """
        judged = self.heads.keys if self.heads else ()
        return [
            point
            for point in self.checked_start()
            if any(key not in judged and value != self.default(key) for key, value in point.items())
        ]

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        searched = set(self.keys)
        defaults = flatten(Config().to_dict())
        return {key: value for key, value in (defaults | dict(self.base)).items() if key not in searched}


def _parameter(key: str, domain: Any, where: str) -> Parameter:
    place = f"{where}, {key}"
    return read_parameter(key, _spec(domain, place), place)


def _spec(domain: Any, where: str) -> dict[str, Any]:
    """A domain as its YAML mapping."""
    return domain.to_yaml() if isinstance(domain, Domain) else mapping_at(domain, where)
