"""The kernel of the Gaussian process over configuration and epoch, and the loss by which it is fitted.

    k = (variance · Matérn 5/2 over rows + trial variance · [same trial]) · (floor + (1 - floor) · exp(-gap / scale))

The gap is the distance of log epochs. The floor is what all epochs of a trial share. The trial variance is what a trial
has of its own and its configuration does not explain, so that a trial's own curve says most about its next epochs.

Shapes: n observations, q and p configurations, d parameters, c columns of rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

JITTER = 1e-6
"""Added to the diagonal of a covariance, so that it stays positive definite."""


class Hyperparameters(NamedTuple):
    """The kernel's hyperparameters, on the scales on which they are fitted (theta: one vector in this order)."""

    log_lengths: Array
    """Logarithms of the d length scales."""
    log_noise: float
    """Logarithm of the noise variance."""
    floor_logit: float
    """Logit of the floor."""
    log_epoch_scale: float
    """Logarithm of the scale over log epochs."""
    log_variance: float
    """Logarithm of the variance over configurations."""
    log_trial_variance: float
    """Logarithm of the variance that a trial has of its own."""

    @classmethod
    def from_vector(cls, theta: Array) -> Hyperparameters:
        """The hyperparameters in a vector of d + 5 numbers."""
        return cls(theta[:-5], *map(float, theta[-5:]))

    @property
    def vector(self) -> Array:
        """The hyperparameters as a vector of d + 5 numbers."""
        return np.concatenate([self.log_lengths, np.array(self[1:])])

    @property
    def noise(self) -> float:
        """The noise variance."""
        return math.exp(self.log_noise)

    @property
    def floor(self) -> float:
        """The share of the covariance that all epochs of a trial have, in (0, 1)."""
        return 1 / (1 + math.exp(-self.floor_logit))

    @property
    def epoch_scale(self) -> float:
        """The scale over log epochs."""
        return math.exp(self.log_epoch_scale)

    @property
    def variance(self) -> float:
        """The variance over configurations."""
        return math.exp(self.log_variance)

    @property
    def trial_variance(self) -> float:
        """The variance that a trial has of its own."""
        return math.exp(self.log_trial_variance)

    def scaled(self, rows: Array, owners: Indices) -> Array:
        """Rows, each column over the length scale of the parameter that it belongs to."""
        return rows * np.exp(-self.log_lengths)[owners]

    def over_epochs(self, gaps: Array) -> Array:
        """The part of the kernel over distances of log epochs."""
        falling: Array = self.floor + (1 - self.floor) * np.exp(-gaps / self.epoch_scale)
        return falling


class Prior(NamedTuple):
    """A normal prior of theta, independent by hyperparameter, and bounds."""

    mean: Array
    deviation: Array
    bounds: list[tuple[float, float]]


def prior_of(parameters: int) -> Prior:
    """The prior for a space of d parameters. Length scales grow with the distances in spaces of many parameters."""
    length = math.log(0.7) + 0.5 * math.log(max(parameters, 6) / 6)
    rest = [
        # mean, deviation, bounds
        (math.log(0.01), 1.5, (-11.0, 1.0)),  # noise
        (1.0, 1.0, (-3.0, 6.0)),  # floor
        (math.log(0.7), 0.7, (-2.5, 2.5)),  # epoch scale
        (0.0, 0.7, (-3.0, 3.0)),  # variance
        (math.log(0.05), 1.5, (-9.0, 2.0)),  # trial variance
    ]
    every = [(length, 1.0, (math.log(0.05), math.log(20.0)))] * parameters + rest
    means, deviations, bounds = zip(*every, strict=True)
    return Prior(np.array(means), np.array(deviations), list(bounds))


def squared_distances(a: Array, b: Array) -> Array:
    """Squared distances of rows, q×p."""
    squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
    positive: Array = np.maximum(squared, 0.0)
    return positive


def matern(squared: Array) -> Array:
    """Matérn 5/2 of squared distances (Rasmussen and Williams, 2006, equation 4.17)."""
    root = np.sqrt(5 * squared)
    value: Array = (1 + root + root**2 / 3) * np.exp(-root)
    return value


class FitData(NamedTuple):
    """The observations that hyperparameters are fitted to."""

    rows: Array
    """n×c, of the observed trials."""
    owners: Indices
    """The parameter that each column belongs to."""
    gaps: Array
    """n×n distances of log epochs."""
    same: Array
    """n×n, 1 where both observations are of the same trial."""
    values: Array
    """n standardised values."""


def posterior_loss(theta: Array, data: FitData, prior: Prior) -> tuple[float, Array]:
    """Minus the logarithm of theta's posterior, up to a constant, and its gradient.

    Args:
        theta: d + 5 hyperparameters, in the order of `Hyperparameters`.
        data: the observations.
        prior: of theta.
    """
    each, n = Hyperparameters.from_vector(theta), len(data.values)
    scaled = each.scaled(data.rows, data.owners)
    root = np.sqrt(5 * squared_distances(scaled, scaled))
    decay = np.exp(-root)
    over_points = each.variance * (1 + root + root**2 / 3) * decay
    falling = np.exp(-data.gaps / each.epoch_scale)
    over_epochs = each.floor + (1 - each.floor) * falling
    of_trials = over_points + each.trial_variance * data.same
    covariance = of_trials * over_epochs
    covariance[np.diag_indices(n)] += each.noise + JITTER
    try:
        lower = cholesky(covariance, lower=True, check_finite=False)
    except LinAlgError:
        return 1e10, np.zeros_like(theta)
    inverse = cho_solve((lower, True), np.eye(n), check_finite=False)
    alpha = inverse @ data.values
    away = (theta - prior.mean) / prior.deviation
    value = 0.5 * data.values @ alpha + np.log(np.diag(lower)).sum() + 0.5 * (away**2).sum()
    weight = 0.5 * (inverse - np.outer(alpha, alpha))  # the derivative of the value by the covariance
    slope = weight * over_epochs * (each.variance * (5 / 3) * (1 + root) * decay)
    # The sum of slope · (a - b)² over all pairs of observations, by column.
    by_column = 2 * ((scaled**2) * slope.sum(1)[:, None] - scaled * (slope @ scaled)).sum(0)
    weighted = weight * of_trials
    by_rest = [
        each.noise * np.trace(weight),
        each.floor * (1 - each.floor) * (weighted * (1 - falling)).sum(),
        (1 - each.floor) * (weighted * falling * data.gaps).sum() / each.epoch_scale,
        (weight * over_epochs * over_points).sum(),
        each.trial_variance * (weight * over_epochs * data.same).sum(),
    ]
    by_length = np.bincount(data.owners, weights=by_column, minlength=len(theta) - 5)
    return float(value), np.concatenate([by_length, by_rest]) + away / prior.deviation
