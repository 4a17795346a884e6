"""The kernel of the Gaussian process over configuration and epoch, and the loss by which it is fitted.

Shapes: n observations, q configurations, d parameters.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky

Array = NDArray[np.float64]

JITTER = 1e-6
"""Added to the diagonal of a covariance, so that it stays positive definite."""


class Hyperparameters(NamedTuple):
    """The kernel's hyperparameters, on the scales on which they are fitted (theta: one vector in this order)."""

    log_lengths: Array
    """Logarithms of the d length scales."""
    log_noise: float
    """Logarithm of the noise variance."""
    floor_logit: float
    """Logit of the covariance that all epochs of a configuration share."""
    log_epoch_scale: float
    """Logarithm of the scale over log epochs."""
    log_variance: float
    """Logarithm of the variance."""

    @classmethod
    def from_vector(cls, theta: Array) -> Hyperparameters:
        """The hyperparameters in a vector of d + 4 numbers."""
        noise, floor, epoch_scale, variance = theta[-4:]
        return cls(theta[:-4], float(noise), float(floor), float(epoch_scale), float(variance))

    @property
    def noise(self) -> float:
        """The noise variance."""
        return math.exp(self.log_noise)

    @property
    def floor(self) -> float:
        """The covariance that all epochs of a configuration share, in (0, 1)."""
        return 1 / (1 + math.exp(-self.floor_logit))

    @property
    def epoch_scale(self) -> float:
        """The scale over log epochs."""
        return math.exp(self.log_epoch_scale)

    @property
    def variance(self) -> float:
        """The variance."""
        return math.exp(self.log_variance)


class Kernel(NamedTuple):
    """The kernel's values for q×n pairs, and the parts that its derivatives need."""

    covariance: Array
    """The covariance itself."""
    slope: Array
    """Minus its derivative by the squared distance."""
    matern: Array
    """The part over the parameters, times the variance."""
    falling: Array
    """The part over epochs that falls with their distance."""


class Prior(NamedTuple):
    """A normal prior of theta, independent by hyperparameter."""

    mean: Array
    deviation: Array


def kernel(hyperparameters: Hyperparameters, apart: Array, gaps: Array) -> Kernel:
    """The kernel of q×n pairs.

    Args:
        hyperparameters: of the kernel.
        apart: d×q×n squared distances by parameter.
        gaps: q×n distances of log epochs.
    """
    squared = np.tensordot(np.exp(-2 * hyperparameters.log_lengths), apart, 1)
    root = np.sqrt(5 * squared)
    decay = np.exp(-root)
    floor, variance = hyperparameters.floor, hyperparameters.variance
    falling = np.exp(-gaps / hyperparameters.epoch_scale)
    over_epochs = floor + (1 - floor) * falling
    matern = (1 + root + root**2 / 3) * decay
    return Kernel(
        covariance=variance * matern * over_epochs,
        slope=variance * (5 / 6) * (1 + root) * decay * over_epochs,
        matern=variance * matern,
        falling=falling,
    )


def posterior_loss(theta: Array, y: Array, apart: Array, gaps: Array, prior: Prior) -> tuple[float, Array]:
    """Minus the logarithm of theta's posterior, up to a constant, and its gradient.

    Args:
        theta: d + 4 hyperparameters, in the order of `Hyperparameters`.
        y: n values.
        apart: d×n×n squared distances by parameter.
        gaps: n×n distances of log epochs.
        prior: of theta.
    """
    hyperparameters, n = Hyperparameters.from_vector(theta), len(y)
    parts = kernel(hyperparameters, apart, gaps)
    noise, floor = hyperparameters.noise, hyperparameters.floor
    try:
        lower = cholesky(parts.covariance + (noise + JITTER) * np.eye(n), lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    inverse = cho_solve((lower, True), np.eye(n), check_finite=False)
    alpha = inverse @ y
    away = (theta - prior.mean) / prior.deviation
    value = 0.5 * y @ alpha + np.log(np.diag(lower)).sum() + 0.5 * (away**2).sum()
    weight = 0.5 * (inverse - np.outer(alpha, alpha))
    by_length = np.tensordot(apart, weight * parts.slope, 2) * 2 * np.exp(-2 * hyperparameters.log_lengths)
    by_rest = [
        noise * np.trace(weight),
        floor * (1 - floor) * (weight * parts.matern * (1 - parts.falling)).sum(),
        (weight * parts.matern * (1 - floor) * parts.falling * gaps / hyperparameters.epoch_scale).sum(),
        (weight * parts.covariance).sum(),
    ]
    return float(value), np.concatenate([by_length, by_rest]) + away / prior.deviation
