"""A table of recorded trainings with a surrogate, so that configurations without a training have a curve too.

Surrogates are of two kinds, so that no searcher wins by being of the surrogate's own class.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.search_quality.csv_table import Recorded
from benchmarks.search_quality.table import FloatArray, Table, best_of_draws
from decouple_search.space.space import Space
from decouplenet.errors import InputError

KINDS = ("trees", "gp")
"""Extremely randomised trees, and a Gaussian process with a Matern kernel."""
ABSENT = -1.0
"""Place of an absent value; ranges are from 0 to 1."""
GP_POINTS = 1000
"""Configurations that a Gaussian process is fitted to, drawn at random; its fit takes minutes with more."""


def encode(space: Space, config: Mapping[str, Any]) -> FloatArray:
    """A configuration as a row: ranges as their relative position, choices one-hot, absent values as `ABSENT`."""
    row: list[float] = []
    for parameter in space.parameters:
        value = config.get(parameter.key)
        if parameter.kind == "choice":
            row += [float(value == choice) for choice in parameter.values]
        else:
            row.append(ABSENT if value is None else parameter.position(value))
    return np.array(row)


class SurrogateTable(Table):
    """Recorded trainings, filled in by a surrogate of their curves and one of their durations.

    `best` is the smaller of the recorded best and of what random draws of the surrogate reach: no target lies beyond
    the real trainings, and none is met in the surrogate at recorded points alone.

    Args:
        recorded: the trainings.
        kind: a name of `KINDS`.
        name: name of the table.
    """

    def __init__(self, recorded: Recorded, kind: str, name: str) -> None:
        if kind not in KINDS:
            raise InputError(f"unknown surrogate '{kind}'; valid: {', '.join(KINDS)}")
        self.name, self.kind = name, kind
        self.noise, self.training_noise = recorded.noise, recorded.training_noise
        self.space, self.epochs = recorded.space, recorded.curves.shape[1]
        self._recorded = recorded
        x = self._encode(recorded.points)
        self._model = _fitted(kind, x, recorded.curves)
        self._log_seconds = _fitted("trees", x, np.log(recorded.seconds))
        self.recorded_best = float(recorded.curves.max())
        self.drawn_best = best_of_draws(self.space, self._curves)
        self.best = min(self.recorded_best, self.drawn_best)
        bests = f"best training {self.recorded_best:.4f}, best of the surrogate's random draws {self.drawn_best:.4f}"
        self.about = f"{len(x)} real trainings, {self.epochs} epochs, surrogate {kind}; {bests}"

    def curve(self, config: Mapping[str, Any]) -> FloatArray:
        """val_map after each epoch."""
        return np.asarray(self._curves([config])[0])

    def seconds(self, config: Mapping[str, Any]) -> FloatArray:
        """The duration of each epoch."""
        return np.asarray(np.exp(self._log_seconds.predict(self._encode([config]))[0]))

    def held_out_error(self) -> float:
        """Mean absolute error of the last epoch's val_map, by five-fold cross-validation."""
        from sklearn.model_selection import KFold  # type: ignore[import-untyped]

        x, y, errors = self._encode(self._recorded.points), self._recorded.curves, []
        for train, test in KFold(5, shuffle=True, random_state=0).split(x):
            errors.append(np.abs(_fitted(self.kind, x[train], y[train]).predict(x[test]) - y[test])[:, -1])
        return float(np.concatenate(errors).mean())

    def _encode(self, configs: Sequence[Mapping[str, Any]]) -> FloatArray:
        return np.stack([encode(self.space, config) for config in configs])

    def _curves(self, configs: Sequence[Mapping[str, Any]]) -> FloatArray:
        return np.asarray(self._model.predict(self._encode(configs)))


def _fitted(kind: str, x: FloatArray, y: FloatArray) -> Any:
    """A regressor from encoded configurations to curves."""
    from sklearn.ensemble import ExtraTreesRegressor  # type: ignore[import-untyped]
    from sklearn.gaussian_process import GaussianProcessRegressor  # type: ignore[import-untyped]
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel  # type: ignore[import-untyped]

    if kind == "trees":
        return ExtraTreesRegressor(100, random_state=0, n_jobs=1).fit(x, y)
    if len(x) > GP_POINTS:
        chosen = np.random.default_rng(0).choice(len(x), GP_POINTS, replace=False)
        x, y = x[chosen], y[chosen]
    kernel = ConstantKernel() * Matern(np.full(x.shape[1], 1.0), (0.05, 50.0), nu=2.5) + WhiteKernel(0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # length scales of parameters without influence reach their bound
        return GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(x, y)
