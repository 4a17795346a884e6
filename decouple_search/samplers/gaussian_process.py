"""A Gaussian process over configuration and epoch, and the configuration with the largest expected improvement.

Multi-fidelity Bayesian optimisation as in Swersky et al., 2013, "Multi-task Bayesian optimization", and 2014,
"Freeze-thaw Bayesian optimization", here with a product kernel.

Shapes: n observations, q configurations, d parameters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.stats import norm

from decouple_search.samplers.kernel import JITTER, Array, Hyperparameters, Prior, kernel, posterior_loss
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space

CANDIDATES = 1000
"""Random configurations among which the best is looked for before it is refined."""


class Observation(NamedTuple):
    """A value that a trial reached after an epoch; more is better."""

    point: Mapping[str, Any]
    epoch: int
    value: float


class EpochModel:
    """A Gaussian process over encoded configurations and the epoch.

    The kernel is Matérn 5/2 over the parameters, each with its own length scale, times a kernel over log epochs. The
    latter falls to a floor, which all epochs of a configuration share. The mean is the typical learning curve.

    Args:
        space: the searched space.
        observations: the values that trials reached.
        epochs: the epochs of a full training.
    """

    def __init__(self, space: Space, observations: Sequence[Observation], epochs: int) -> None:
        self._space = space
        self._points = [dict(each.point) for each in observations]
        self._x = np.stack([encode(space, point) for point in self._points])
        self._t = np.log([each.epoch for each in observations]) / math.log(max(epochs, 2))
        typical = typical_curve(observations, epochs)
        residual = np.array([each.value - typical[each.epoch] for each in observations])
        low, high = np.quantile(residual, [0.25, 0.75])
        residual = np.maximum(residual, low - 1.5 * (high - low))  # how bad the worst are is of no interest
        self._scale = float(residual.std()) or 1.0
        self._y = (residual - residual.mean()) / self._scale
        self._level = float(typical[-1] + residual.mean())
        self._distances = distances(space, self._x, self._x)
        self._hyperparameters = self._fit()
        self._factor()

    def believe(self, pending: Sequence[Mapping[str, Any]]) -> None:
        """Count configurations that are being trained as finished with their expected value, so that others follow."""
        if not pending:
            return
        x = np.stack([encode(self._space, point) for point in pending])
        mean, _ = self._predict(x)
        self._points += [dict(point) for point in pending]
        self._x, self._y = np.concatenate([self._x, x]), np.concatenate([self._y, mean])
        self._t = np.concatenate([self._t, np.ones(len(x))])
        self._distances = distances(self._space, self._x, self._x)
        self._factor()

    def expected(self, point: Mapping[str, Any]) -> float:
        """The expected value of a configuration at the last epoch."""
        mean, _ = self._predict(encode(self._space, point)[None])
        return self._level + self._scale * float(mean[0])

    def best_candidate(self, rng: np.random.Generator) -> dict[str, Any]:
        """The configuration with the largest expected improvement, among random ones and neighbours of the best."""
        mean, _ = self._predict(self._x)
        incumbent = float(mean.max())
        good = [self._points[i] for i in np.argsort(-mean)[:10]]
        candidates = [self._space.draw(rng) for _ in range(CANDIDATES)]
        candidates += [self._space.neighbour(point, rng, 0.1) for point in good for _ in range(20)]
        for width in (0.1, 0.05, 0.02):
            gain = self._gain(candidates, incumbent)
            best = [candidates[i] for i in np.argsort(-gain)[:10]]
            candidates = best + [self._space.neighbour(point, rng, width) for point in best for _ in range(20)]
        return candidates[int(np.argmax(self._gain(candidates, incumbent)))]

    def _gain(self, candidates: Sequence[Mapping[str, Any]], incumbent: float) -> Array:
        """Logarithm of the expected improvement over the incumbent."""
        mean, deviation = self._predict(np.stack([encode(self._space, point) for point in candidates]))
        z = (mean - incumbent) / deviation
        # For a very low z the difference underflows; its expansion 1/z² does not.
        inner = np.where(z > -20, norm.pdf(z) + z * norm.cdf(z), 0.0)
        far = norm.logpdf(z) - 2 * np.log(np.maximum(-z, 1.0))
        log_inner = np.where(z > -20, np.log(np.maximum(inner, 1e-300)), far)
        gain: Array = log_inner + np.log(deviation)
        return gain

    def _predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at the last epoch, q each."""
        apart = distances(self._space, x, self._x)
        cross = kernel(self._hyperparameters, apart, 1.0 - self._t[None, :]).covariance
        mean = cross @ self._alpha
        half = solve_triangular(self._lower, cross.T, lower=True, check_finite=False)
        variance = self._hyperparameters.variance - (half**2).sum(0)
        return mean, np.sqrt(np.maximum(variance, 1e-10))

    def _factor(self) -> None:
        covariance = kernel(self._hyperparameters, self._distances, self._gaps()).covariance
        covariance[np.diag_indices_from(covariance)] += self._hyperparameters.noise + JITTER
        self._lower = cholesky(covariance, lower=True, check_finite=False)
        self._alpha = cho_solve((self._lower, True), self._y, check_finite=False)

    def _gaps(self) -> Array:
        """Distances of log epochs, n×n."""
        gaps: Array = np.abs(self._t[:, None] - self._t[None, :])
        return gaps

    def _fit(self) -> Hyperparameters:
        """The most probable hyperparameters, always from the same start."""
        d = len(self._distances)
        prior = Prior(
            mean=np.array([*[math.log(0.7)] * d, math.log(0.02), 1.0, math.log(0.7), 0.0]),
            deviation=np.array([*[1.0] * d, 1.5, 1.0, 0.7, 0.7]),
        )
        bounds = [(math.log(0.05), math.log(20.0))] * d + [(-11.0, 1.0), (-3.0, 6.0), (-2.5, 2.5), (-3.0, 3.0)]
        gaps = self._gaps()
        fitted = minimize(
            lambda theta: posterior_loss(theta, self._y, self._distances, gaps, prior),
            prior.mean,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 40},
        )
        return Hyperparameters.from_vector(fitted.x)


def encode(space: Space, point: Mapping[str, Any]) -> Array:
    """A configuration as numbers: a position in [0, 1] for a range, an index for a choice.

    An absent parameter is in the middle of its range, or at -1 of its choices.
    """
    return np.array([_coordinate(parameter, point) for parameter in space.parameters])


def _coordinate(parameter: Parameter, point: Mapping[str, Any]) -> float:
    if parameter.key not in point:  # None may be a choice
        return -1.0 if parameter.kind == "choice" else 0.5
    value = point[parameter.key]
    return float(parameter.values.index(value)) if parameter.kind == "choice" else parameter.position(value)


def distances(space: Space, a: Array, b: Array) -> Array:
    """Squared distances by parameter, d×q×n; choices are equal (0) or not (1)."""
    difference = a.T[:, :, None] - b.T[:, None, :]
    choices = np.array([parameter.kind == "choice" for parameter in space.parameters])
    squared: Array = np.where(choices[:, None, None], difference != 0, difference**2)
    return squared


def typical_curve(observations: Sequence[Observation], epochs: int) -> Array:
    """The typical value by epoch, 0 to `epochs`: the mean of first epochs, then the mean gains of trials on their way.

    A mean over the trials that reached an epoch would be the mean of the good trials.
    """
    curves: dict[int, dict[int, float]] = {}
    for each in observations:
        curves.setdefault(id(each.point), {})[each.epoch] = each.value
    typical = np.zeros(epochs + 1)
    steps: dict[tuple[int, int], list[float]] = {}
    for curve in curves.values():
        for before, after in itertools.pairwise(sorted(curve)):
            steps.setdefault((before, after), []).append((curve[after] - curve[before]) / (after - before))
    typical[:2] = np.mean([curve[min(curve)] for curve in curves.values()])
    for epoch in range(2, epochs + 1):
        gains = [gain for (before, after), all_gains in steps.items() if before < epoch <= after for gain in all_gains]
        typical[epoch] = typical[epoch - 1] + (np.mean(gains) if gains else 0.0)
    return typical
