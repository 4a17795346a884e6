"""Functions with a known optimum, as tables: the value is 1 at the optimum and 0 at the median random configuration.

A configuration's final value follows from its regret, the distance from the optimum in the function's value. Its curve
goes from `START` to the final value; its rate and its cost per epoch follow from the configuration.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.search_quality.regrets import bowl, conditional, hartmann6, levy, lookup, network
from benchmarks.search_quality.table import FloatArray, Table, draw_configs
from decouple_search.space.objective import Objective
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space

START, LOWEST = -0.5, -1.0
"""The value before the first epoch; the lowest value, from which all curves rise where they cross."""
MEDIAN_OF = 2000
"""Random configurations whose median regret has the value 0."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function to search."""

    about: str
    parameters: tuple[Parameter, ...]
    regret: Callable[[Mapping[str, Any], FloatArray, FloatArray], float]
    """Regret from the configuration, its positions in the parameters' ranges, and the optimum's positions."""
    epochs: int = 27
    noise: float = 0.0
    crossing: bool = False
    """Whether good configurations rise more slowly than bad ones, so that curves cross."""
    cost_ratio: float = 8.0
    """Seconds per epoch of the dearest configuration, by those of the cheapest."""


class FunctionTable(Table):
    """A function with a known optimum.

    Args:
        name: a name of `FUNCTIONS`; it also seeds the place of the optimum.
    """

    best = 1.0

    def __init__(self, name: str) -> None:
        self._function = function = FUNCTIONS[name]
        self.name, self.epochs, self.noise, self.about = name, function.epochs, function.noise, function.about
        self.space = Space.of_parameters(name, function.parameters, Objective("val_map", "max"))
        dimensions = len(function.parameters)
        self._optimum = np.random.default_rng(zlib.crc32(name.encode())).uniform(0.2, 0.8, dimensions)
        self._scale = float(np.median([self._regret(config) for config in draw_configs(self.space, MEDIAN_OF)]))

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name}  # a function's regret may be a closure, which cannot be pickled

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        FunctionTable.__init__(self, state["name"])

    def curve(self, config: Mapping[str, Any]) -> FloatArray:
        """The value after each epoch."""
        badness = self._regret(config) / self._scale
        final = 1 - badness if badness < 1 else (1 - badness) / badness  # never below LOWEST
        start, rate = START, 2.0 + 4.0 * self._positions(config)[-1]
        if self._function.crossing:
            start, rate = LOWEST, 0.5 * rate + 6.0 * min(badness, 1.5)
        share = np.arange(1, self.epochs + 1) / self.epochs
        return np.asarray(start + (final - start) * (1 - np.exp(-rate * share)) / (1 - np.exp(-rate)))

    def seconds(self, config: Mapping[str, Any]) -> FloatArray:
        """The duration of each epoch: it grows with the first parameter."""
        return np.full(self.epochs, 10 * self._function.cost_ratio ** self._positions(config)[0])

    def _regret(self, config: Mapping[str, Any]) -> float:
        return self._function.regret(config, self._positions(config), self._optimum)

    def _positions(self, config: Mapping[str, Any]) -> FloatArray:
        """Positions from 0 to 1; that of an absent parameter is 0.5."""
        return np.array([_position(parameter, config) for parameter in self._function.parameters])


def _position(parameter: Parameter, config: Mapping[str, Any]) -> float:
    if parameter.key not in config:
        return 0.5
    if parameter.kind == "choice":
        return parameter.values.index(config[parameter.key]) / (len(parameter.values) - 1)
    return parameter.position(config[parameter.key])


def _ranges(count: int) -> tuple[Parameter, ...]:
    """Ranges x0, x1, ...: each third is logarithmic, and each third is of whole numbers."""
    kinds: Sequence[Callable[[str], Parameter]] = (
        lambda key: Parameter(key, "float", (0.0, 1.0)),
        lambda key: Parameter(key, "float", (1e-4, 1.0), log=True),
        lambda key: Parameter(key, "int", (1, 200)),
    )
    return tuple(kinds[i % 3](f"x{i}") for i in range(count))


OPTIMISERS = (
    Parameter("lr", "float", (1e-4, 1.0), log=True),
    Parameter("optimiser", "choice", ("sgd", "adam", "lion")),
    Parameter("momentum", "float", (0.0, 0.99), when={"optimiser": ("eq", "sgd")}),
    Parameter("beta", "float", (0.8, 0.999), when={"optimiser": ("in", ("adam", "lion"))}),
    Parameter("dropout", "choice", ("off", "on")),
    Parameter("rate", "float", (0.0, 0.8), when={"dropout": ("eq", "on")}),
)
NETWORKS = (
    Parameter("width", "int", (8, 512), log=True),
    Parameter("layers", "int", (1, 4)),
    Parameter("width2", "int", (8, 512), log=True, when={"layers": ("ge", 2)}),
    Parameter("width3", "int", (8, 512), log=True, when={"layers": ("ge", 3)}),
    Parameter("width4", "int", (8, 512), log=True, when={"layers": ("ge", 4)}),
    Parameter("lr", "float", (1e-5, 1e-1), log=True),
)
CELLS = (
    Parameter("head", "choice", ("gap", "gmp", "wildcat")),
    Parameter("attention", "choice", ("none", "arch1", "arch2", "joint")),
    Parameter("maps", "int", (1, 5)),
)

FUNCTIONS = {
    "levy3": Function(about="Levy's function, 3 parameters", parameters=_ranges(3), regret=levy),
    "bowl10": Function(about="a tilted bowl, 10 parameters of falling weight", parameters=_ranges(10), regret=bowl),
    "crossing5": Function(
        about="a tilted bowl, 5 parameters, good configurations start slowly",
        parameters=_ranges(5),
        regret=bowl,
        crossing=True,
    ),
    "conditional": Function(
        about="an optimiser with its own parameters, 3 of 6 conditional", parameters=OPTIMISERS, regret=conditional
    ),
    "hartmann6-noise": Function(
        about="Hartmann's function, 6 parameters, noise 0.03",
        parameters=_ranges(6),
        regret=hartmann6,
        epochs=9,
        noise=0.03,
    ),
    "levy10": Function(about="Levy's function, 10 parameters", parameters=_ranges(10), regret=levy, epochs=9),
    "bowl20": Function(about="a tilted bowl, 20 parameters of falling weight", parameters=_ranges(20), regret=bowl),
    "crossing8-noise": Function(
        about="a tilted bowl, 8 parameters, noise 0.02, good configurations start slowly",
        parameters=_ranges(8),
        regret=bowl,
        epochs=50,
        noise=0.02,
        crossing=True,
    ),
    "layers": Function(
        about="widths of 1 to 4 layers, 3 of 6 parameters conditional, good ones are dear",
        parameters=NETWORKS,
        regret=network,
        cost_ratio=20.0,
    ),
    "grid60": Function(
        about="60 configurations without order, no noise", parameters=CELLS, regret=lookup, epochs=9, cost_ratio=3.0
    ),
}
"""The functions by name."""
