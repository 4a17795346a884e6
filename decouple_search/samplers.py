"""How Optuna chooses configurations, by the name that `--sampler` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from decouplenet.config import nearest
from decouplenet.errors import InputError

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


def _tpe(seed: int | None) -> BaseSampler:
    """Each parameter is modelled by itself, which takes conditional parameters as they are."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, multivariate=False, constant_liar=True)


def _random(seed: int | None) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


SAMPLERS: dict[str, Callable[[int | None], BaseSampler]] = {"tpe": _tpe, "random": _random}


def check_sampler(name: str, seed: int | None) -> None:
    """Refuse a name or a seed that no sampler takes.

    Raises:
        InputError: which, and what is valid.
    """
    if name not in SAMPLERS:
        raise InputError(f"--sampler: unknown '{name}'; {nearest(name, SAMPLERS)}")
    if seed is not None and not 0 <= seed < 2**32:
        raise InputError(f"--seed: {seed} is out of range; it must be from 0 to 4294967295")
