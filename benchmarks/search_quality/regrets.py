"""Functions to search: each is 0 at its optimum and larger elsewhere.

Each takes a configuration, its parameters' positions `u` from 0 to 1, and the positions of the optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.search_quality.table import FloatArray

_Config = Mapping[str, Any]

HARTMANN_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
HARTMANN_BEST = 3.32237


def bowl(config: _Config, u: FloatArray, optimum: FloatArray) -> float:
    """A quadratic; neighbouring parameters interact, and each counts less than the one before."""
    z = u - optimum
    tilted = z + 0.4 * np.roll(z, 1)
    weights = 1 / np.arange(1, len(z) + 1) ** 1.5
    return float((weights * tilted**2).sum())


def levy(config: _Config, u: FloatArray, optimum: FloatArray) -> float:
    """Levy's function: many local optima in a wide valley. The optimum is moved to `optimum`."""
    w = 1 + 2 * (u - optimum)
    inner = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
    first, last = np.sin(np.pi * w[0]) ** 2, (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return float(first + inner + last)


def hartmann6(config: _Config, u: FloatArray, optimum: FloatArray) -> float:
    """Hartmann's function of 6 parameters, at its own optimum."""
    value = HARTMANN_ALPHA @ np.exp(-(HARTMANN_A * (u - HARTMANN_P) ** 2).sum(1))
    return max(HARTMANN_BEST - float(value), 0.0)


def conditional(config: _Config, u: FloatArray, optimum: FloatArray) -> float:
    """An optimiser's parameters: each optimiser has its own best learning rate and its own further parameter."""
    base, lr = {"sgd": (0.02, 0.8), "adam": (0.0, 0.4), "lion": (0.05, 0.25)}[config["optimiser"]]
    further = (u[2] - 0.9) ** 2 if config["optimiser"] == "sgd" else (u[3] - 0.6) ** 2
    dropout = 0.03 if config["dropout"] == "off" else (u[5] - 0.3) ** 2
    return float(base + 3 * (u[0] - lr) ** 2 + 0.5 * further + dropout)


def network(config: _Config, u: FloatArray, optimum: FloatArray) -> float:
    """Widths of a network: three wide layers are best, and deeper networks need a smaller learning rate."""
    layers = config["layers"]
    widths = [0, 2, 3, 4][:layers]  # places of the widths in use
    width = sum((u[place] - 0.85) ** 2 for place in widths) / layers
    return float(0.05 * abs(layers - 3) + width + 2 * (u[5] - (0.8 - 0.1 * layers)) ** 2)


def lookup(config: _Config, u: FloatArray, optimum: FloatArray) -> float:
    """60 values without order in their places: main effects of three parameters, and as much chance."""
    rng = np.random.default_rng(60)
    effects = [rng.uniform(0, 1, count) for count in (3, 4, 5)]
    regrets = effects[0][:, None, None] + effects[1][None, :, None] + effects[2][None, None, :]
    regrets = regrets + rng.uniform(0, 1, (3, 4, 5))
    place = (round(u[0] * 2), round(u[1] * 3), config["maps"] - 1)
    return float((regrets - regrets.min())[place])
