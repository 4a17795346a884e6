"""What a table is to the benchmark: a space, a learning curve and a cost for each of its configurations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouple_search.space.space import Space

FloatArray = NDArray[np.float64]
DRAWS = 20_000
"""Random configurations that say what a surrogate reaches."""


class Table(ABC):
    """Learning curves over a space of configurations. More is better for all values."""

    name: str
    space: Space
    epochs: int
    """Epochs of a whole training."""
    best: float
    """The best value. Targets are shares of it: see `target`."""
    noise: float = 0.0
    """Standard deviation of a measured value within a training. The values of `curve` are without noise."""
    training_noise: float = 0.0
    """Standard deviation between trainings of a configuration: all epochs of a training have the same deviation."""
    about: str = ""
    """What the table is and where its best comes from, in a line."""

    @abstractmethod
    def curve(self, config: Mapping[str, Any]) -> FloatArray:
        """The value after each epoch."""

    @abstractmethod
    def seconds(self, config: Mapping[str, Any]) -> FloatArray:
        """The duration of each epoch, in seconds."""

    def target(self, share: float) -> float:
        """The value that counts as a share of the best. The value 0 is the share 0."""
        return share * self.best


def draw_configs(space: Space, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Random configurations of a space."""
    rng = np.random.default_rng(seed)
    return [space.draw(rng) for _ in range(count)]


def best_of_draws(space: Space, curves: Callable[[Sequence[Mapping[str, Any]]], FloatArray]) -> float:
    """The best value of any epoch of `DRAWS` random configurations.

    Args:
        space: the space of the configurations.
        curves: gives the curves of several configurations, configurations × epochs.
    """
    return float(curves(draw_configs(space, DRAWS)).max())
