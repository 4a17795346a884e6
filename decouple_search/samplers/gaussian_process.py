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
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.stats import norm

from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space

Array = NDArray[np.float64]

CANDIDATES = 1000
"""Random configurations among which the best is looked for, before it is refined."""
JITTER = 1e-6


class Observation(NamedTuple):
    """What a trial reached after an epoch; larger is better."""

    point: Mapping[str, Any]
    epoch: int
    value: float


class EpochModel:
    """A Gaussian process over encoded configurations and the epoch.

    The kernel is Matérn 5/2 over the parameters, each with its own length scale, times one over log epochs that
    falls to a floor: what all epochs of a configuration share. The mean is the typical learning curve.

    Args:
        space: what is searched.
        known: the observations.
        epochs: of a full training.
    """

    def __init__(self, space: Space, known: Sequence[Observation], epochs: int) -> None:
        self._space, self._epochs = space, epochs
        self._points = [dict(one.point) for one in known]
        self._x = np.stack([encode(space, point) for point in self._points])
        self._t = np.log([one.epoch for one in known]) / math.log(max(epochs, 2))
        typical = typical_curve(known, epochs)
        residual = np.array([one.value - typical[one.epoch] for one in known])
        low, high = np.quantile(residual, [0.25, 0.75])
        residual = np.maximum(residual, low - 1.5 * (high - low))  # how bad the worst are is of no interest
        self._scale = float(residual.std()) or 1.0
        self._y = (residual - residual.mean()) / self._scale
        self._level = float(typical[-1] + residual.mean())
        self._distances = distances(space, self._x, self._x)
        self._theta = self._fit()
        self._factor()

    def believe(self, pending: Sequence[Mapping[str, Any]]) -> None:
        """Take configurations that are being trained for finished, as expected, so that others come next."""
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
        """The value that a configuration is expected to have at the last epoch."""
        mean, _ = self._predict(encode(self._space, point)[None])
        return self._level + self._scale * float(mean[0])

    def best_candidate(self, rng: np.random.Generator) -> dict[str, Any]:
        """The configuration with the largest expected improvement among random ones, and neighbours of the best."""
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
        # Where z is so low that the difference underflows, its expansion 1/z².
        inner = np.where(z > -20, norm.pdf(z) + z * norm.cdf(z), 0.0)
        far = norm.logpdf(z) - 2 * np.log(np.maximum(-z, 1.0))
        log_inner = np.where(z > -20, np.log(np.maximum(inner, 1e-300)), far)
        gain: Array = log_inner + np.log(deviation)
        return gain

    def _predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at the last epoch, q each."""
        cross = self._kernel(self._theta, distances(self._space, x, self._x), 1.0 - self._t[None, :])[0]
        mean = cross @ self._alpha
        half = solve_triangular(self._lower, cross.T, lower=True, check_finite=False)
        variance = math.exp(self._theta[-1]) - (half**2).sum(0)
        return mean, np.sqrt(np.maximum(variance, 1e-10))

    def _factor(self) -> None:
        gap = np.abs(self._t[:, None] - self._t[None, :])
        covariance = self._kernel(self._theta, self._distances, gap)[0]
        covariance[np.diag_indices_from(covariance)] += math.exp(self._theta[-4]) + JITTER
        self._lower = cholesky(covariance, lower=True, check_finite=False)
        self._alpha = cho_solve((self._lower, True), self._y, check_finite=False)

    def _kernel(self, theta: Array, apart: Array, gap: Array) -> tuple[Array, Array, Array, Array]:
        """Covariance, Matérn's derivative by the squared distance, the part over epochs and its falling part.

        Args:
            theta: logarithms of d length scales, noise, floor (logit), epoch scale, variance.
            apart: d×q×n squared distances by parameter.
            gap: q×n distances of log epochs.
        """
        d = len(apart)
        squared = np.tensordot(np.exp(-2 * theta[:d]), apart, 1)
        root = np.sqrt(5 * squared)
        decay = np.exp(-root)
        floor = 1 / (1 + math.exp(-theta[d + 1]))
        falling = np.exp(-gap / math.exp(theta[d + 2]))
        over_epochs = floor + (1 - floor) * falling
        variance = math.exp(theta[d + 3])
        matern = (1 + root + root**2 / 3) * decay
        return (
            variance * matern * over_epochs,
            variance * (5 / 6) * (1 + root) * decay * over_epochs,
            variance * matern,
            falling,
        )

    def _fit(self) -> Array:
        """The most probable hyperparameters, from one and the same beginning."""
        d = len(self._distances)
        prior_mean = np.array([*[math.log(0.7)] * d, math.log(0.02), 1.0, math.log(0.7), 0.0])
        prior_deviation = np.array([*[1.0] * d, 1.5, 1.0, 0.7, 0.7])
        gap = np.abs(self._t[:, None] - self._t[None, :])
        n = len(self._y)

        def loss(theta: Array) -> tuple[float, Array]:
            covariance, slope, matern, falling = self._kernel(theta, self._distances, gap)
            noise = math.exp(theta[d])
            covariance[np.diag_indices(n)] += noise + JITTER
            try:
                lower = cholesky(covariance, lower=True, check_finite=False)
            except np.linalg.LinAlgError:
                return 1e10, np.zeros_like(theta)
            inverse = cho_solve((lower, True), np.eye(n), check_finite=False)
            alpha = inverse @ self._y
            away = (theta - prior_mean) / prior_deviation
            value = 0.5 * self._y @ alpha + np.log(np.diag(lower)).sum() + 0.5 * (away**2).sum()
            weight = 0.5 * (inverse - np.outer(alpha, alpha))
            covariance[np.diag_indices(n)] -= noise + JITTER
            by_scale = np.tensordot(self._distances, weight * slope, 2) * 2 * np.exp(-2 * theta[:d])
            floor = 1 / (1 + math.exp(-theta[d + 1]))
            scale = math.exp(theta[d + 2])
            rest = [
                noise * np.trace(weight),
                floor * (1 - floor) * (weight * matern * (1 - falling)).sum(),
                (weight * matern * (1 - floor) * falling * gap / scale).sum(),
                (weight * covariance).sum(),
            ]
            return float(value), np.concatenate([by_scale, rest]) + away / prior_deviation

        bounds = [(math.log(0.05), math.log(20.0))] * d + [(-11.0, 1.0), (-3.0, 6.0), (-2.5, 2.5), (-3.0, 3.0)]
        found = minimize(loss, prior_mean, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40})
        theta: Array = found.x
        return theta


def encode(space: Space, point: Mapping[str, Any]) -> Array:
    """A configuration as numbers: a range's place in [0, 1], a choice's number; the middle where it is absent."""
    return np.array([_place(parameter, point.get(parameter.key)) for parameter in space.parameters])


def _place(parameter: Parameter, value: Any) -> float:
    if value is None:
        return -1.0 if parameter.kind == "choice" else 0.5
    return float(parameter.values.index(value)) if parameter.kind == "choice" else parameter.place(value)


def distances(space: Space, a: Array, b: Array) -> Array:
    """Squared distances by parameter, d×q×n; choices are equal (0) or not (1)."""
    difference = a.T[:, :, None] - b.T[:, None, :]
    choices = np.array([parameter.kind == "choice" for parameter in space.parameters])
    squared: Array = np.where(choices[:, None, None], difference != 0, difference**2)
    return squared


def typical_curve(known: Sequence[Observation], epochs: int) -> Array:
    """The mean value by epoch, 0 to `epochs`: of the first epoch, then what trials gained on the way.

    A mean over the trials that got to an epoch would be that of the good ones.
    """
    curves: dict[int, dict[int, float]] = {}
    for one in known:
        curves.setdefault(id(one.point), {})[one.epoch] = one.value
    typical = np.zeros(epochs + 1)
    steps: dict[tuple[int, int], list[float]] = {}
    for curve in curves.values():
        at = sorted(curve)
        for before, after in itertools.pairwise(at):
            steps.setdefault((before, after), []).append((curve[after] - curve[before]) / (after - before))
    start = [curve[min(curve)] for curve in curves.values()]
    typical[:2] = np.mean(start)
    for epoch in range(2, epochs + 1):
        gains = [gain for (before, after), all_ in steps.items() if before < epoch <= after for gain in all_]
        typical[epoch] = typical[epoch - 1] + (np.mean(gains) if gains else 0.0)
    return typical
