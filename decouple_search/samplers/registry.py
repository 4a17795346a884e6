"""The samplers by the name that `--sampler` takes, and the schedulers that each goes with.

Each trial gets a new sampler, made from the seed and the trial's number. It learns from the study alone. So a search
that resumes after a crash proposes what it would have proposed anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from decouple_search.stopping.scheduler import STOPPING
from decouplenet.errors import InputError
from decouplenet.extensions import Extensions

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from decouple_search.space.space import Space

_Factory = TypeVar("_Factory", bound=Callable[..., Any])


class Sampler(NamedTuple):
    """A way to propose configurations."""

    make: Callable[[Space, int, int], BaseSampler]
    """Makes the sampler from the space, the epochs of a full training and a seed."""
    unfit: Mapping[str, str]
    """The schedulers that it does not go with, and why."""


def _gp(space: Space, epochs: int, seed: int) -> BaseSampler:
    if len(space.objectives) > 1:  # our own model has a single objective
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed, deterministic_objective=False)
    from decouple_search.samplers.epoch_sampler import EpochSampler

    return EpochSampler(space, epochs, seed=seed)


def _tpe(space: Space, epochs: int, seed: int) -> BaseSampler:
    """Each parameter is modelled separately, so conditional parameters need no special treatment."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, multivariate=False, constant_liar=True)


def _random(space: Space, epochs: int, seed: int) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def _cmaes(space: Space, epochs: int, seed: int) -> BaseSampler:
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


def _nsgaii(space: Space, epochs: int, seed: int) -> BaseSampler:
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=20)


def _grid(space: Space, epochs: int, seed: int) -> BaseSampler:
    from decouple_search.samplers.grid import GridSampler

    return GridSampler(space)


_PBT = "pbt changes configurations itself, and only the first ones are drawn; take random"
_GENERATIONS = "a stopped trial has no final value to breed from; take --scheduler none"
_PAUSES = "a paused trial has no final value to breed from; take --scheduler none"
_ENDED = "it learns from trials that have ended, and a paused trial has not; take --scheduler asha"
SAMPLERS: dict[str, Sampler] = {
    "gp": Sampler(_gp, {"pbt": _PBT}),
    "tpe": Sampler(_tpe, {"pbt": _PBT, "promotion": _ENDED}),
    "random": Sampler(_random, {}),
    "cmaes": Sampler(_cmaes, {"pbt": _PBT, "promotion": _PAUSES, **dict.fromkeys(STOPPING, _GENERATIONS)}),
    "nsgaii": Sampler(_nsgaii, {"pbt": _PBT, "promotion": _PAUSES, **dict.fromkeys(STOPPING, _GENERATIONS)}),
    "grid": Sampler(_grid, {"pbt": _PBT}),
}


SamplerFactory = Callable[["Space", int, int], "BaseSampler"]
"""From the space, the epochs of a full training and a seed: a sampler for a trial. It may learn from the study only."""
EXTENSIONS: Extensions[SamplerFactory] = Extensions("--sampler", "decouple_search.samplers", list(SAMPLERS))


def register_sampler(name: str) -> Callable[[_Factory], _Factory]:
    """Decorator: add a sampler under a name of `--sampler`. It decorates a `SamplerFactory`."""

    def register(factory: _Factory) -> _Factory:
        EXTENSIONS.register(name, factory)
        return factory

    return register


def sampler_named(name: str) -> Sampler:
    """The sampler of a name, built in or an extension's.

    Raises:
        InputError: the name is unknown.
    """
    if name in SAMPLERS:
        return SAMPLERS[name]
    EXTENSIONS.get(name)  # raises if the name is unknown
    return Sampler(partial(EXTENSIONS.call, name), {"pbt": _PBT})


def choose_sampler(name: str | None, scheduler: str, space: Space, seed: int) -> str:
    """The sampler's name: the given name, the space's, or the one that suits the scheduler and the objectives.

    Raises:
        InputError: an unknown name, a seed out of range, or a sampler that does not fit the others.
    """
    name = name or space.sampler
    if name is None:
        name = "random" if scheduler == "pbt" else "gp" if len(space.objectives) == 1 else "tpe"
    sampler = sampler_named(name)
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed: {seed} is out of range; it must be from 0 to 4294967295")
    if reason := sampler.unfit.get(scheduler):
        raise InputError(f"--sampler: {name} does not go with the scheduler {scheduler}: {reason}")
    if name == "cmaes" and len(space.objectives) > 1:
        raise InputError("--sampler: cmaes has one objective; take nsgaii, tpe or gp for several")
    if name == "cmaes" and sum(parameter.kind != "choice" for parameter in space.parameters) < 2:
        raise InputError("--sampler: cmaes needs at least two ranges to search; take gp or tpe")
    if name == "grid":
        space.grid()  # raises if a range has no steps
    return name


def make_sampler(name: str, space: Space, epochs: int, seed: int, number: int) -> BaseSampler:
    """The sampler of a trial.

    Args:
        name: a built-in name, or that of an extension.
        space: the searched space.
        epochs: the epochs of a full training.
        seed: the seed of the search.
        number: the trial's number.

    Raises:
        InputError: an extension fails, or makes something else.
    """
    import numpy as np
    from optuna.samplers import BaseSampler

    mixed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    made: Any = sampler_named(name).make(space, epochs, mixed)
    if not isinstance(made, BaseSampler):
        raise InputError(f"--sampler: '{name}' made {type(made).__name__}; it must make a sampler of optuna.samplers")
    return made


def suits_pauses(name: str | None, space: Space) -> bool:
    """Whether a search whose trials pause suits a sampler. Others learn from trials only when these have ended.

    Args:
        name: the name that the user gives; None for the space's own sampler.
        space: the searched space.
    """
    name = name or space.sampler or ("gp" if len(space.objectives) == 1 else "tpe")
    return name in ("random", "grid") or predicts(name, space)


def predicts(name: str, space: Space) -> bool:
    """Whether a sampler has a model of learning curves, which can tell how far a paused trial would get.

    Args:
        name: a built-in name, or that of an extension.
        space: the searched space.
    """
    return name == "gp" and len(space.objectives) == 1
