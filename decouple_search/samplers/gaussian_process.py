"""A Gaussian process over configuration and epoch, of all observations of a search.

Multi-fidelity Bayesian optimisation as in Swersky et al., 2013, "Multi-task Bayesian optimization", and 2014,
"Freeze-thaw Bayesian optimization", here with a product kernel. Beyond `INDUCING` observations the process is the fully
independent training conditional (Snelson and Ghahramani, 2006, "Sparse Gaussian processes using pseudo-inputs", with
observations as inducing points): every observation counts, at a cost that grows only linearly with their number.

Shapes: n observations of t trials, m inducing observations, q configurations, c columns of rows.
"""

from __future__ import annotations

import math
from copy import copy
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

from decouple_search.samplers.curves import Observations, typical_curve
from decouple_search.samplers.kernel import (
    JITTER,
    FitData,
    Hyperparameters,
    matern,
    posterior_loss,
    prior_of,
    squared_distances,
)

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

INDUCING = 320
"""The number of observations up to which the process is exact."""
FIT_OBSERVATIONS = 120
"""The number of observations that hyperparameters are fitted to."""
FIT_STEPS = 20
"""The most steps of a fit. A later fit starts where the last one ended."""


class _Points(NamedTuple):
    """Configurations at epochs, as the kernel takes them."""

    scaled: Array
    """q×c, rows over length scales."""
    times: Array
    """q log epochs."""
    trials: Indices | None
    """q trials, -1 for none; None if none has a trial."""


class _Factors(NamedTuple):
    """The process, conditioned on all observations."""

    anchors: _Points
    """The inducing observations."""
    alpha: Array
    """m weights of expected values."""
    shrink: Array
    """m×m: what observations take off variances."""


class _Pending(NamedTuple):
    """Values that are still to come."""

    points: _Points
    shrunk: Array
    """m×p."""
    inverse: Array
    """p×p, of their covariance."""


class EpochModel:
    """The process, fitted to observations.

    Values are standardised residuals from the typical curve. How bad the worst are is of no interest, so low residuals
    are cut off at 1.5 interquartile ranges below the lower quartile.

    Args:
        rows: t×c, the rows of the observed trials.
        owners: the parameter that each column belongs to.
        observed: the observations.
        epochs: the epochs of a full training.
        hyperparameters: of the kernel; None to fit them.
        start: where the fit starts; None for the prior's mean.
        fit_to: the observations that hyperparameters are fitted to; None for `FIT_OBSERVATIONS` of them.
    """

    def __init__(
        self,
        rows: Array,
        owners: Indices,
        observed: Observations,
        epochs: int,
        hyperparameters: Hyperparameters | None = None,
        *,
        start: Hyperparameters | None = None,
        fit_to: Indices | None = None,
    ) -> None:
        self._rows, self._owners, self._observed = rows, owners, observed
        self._log_epochs = math.log(max(epochs, 2))
        self._times = self._time(observed.epochs)
        typical = typical_curve(observed, epochs)
        residual = observed.values - typical[observed.epochs]
        low, high = np.quantile(residual, [0.25, 0.75])
        if high > low:
            residual = np.maximum(residual, low - 1.5 * (high - low))
        self._scale = float(residual.std()) or 1.0
        self._level = typical + residual.mean()
        self._values = (residual - residual.mean()) / self._scale
        self.fit_to = self._spread(FIT_OBSERVATIONS) if fit_to is None else fit_to
        """The observations that hyperparameters are fitted to."""
        self.fit_loss = math.nan
        """Minus the logarithm of the fit's posterior, of values in the observations' unit; nan without a fit."""
        self.hyperparameters = hyperparameters or self._fitted(start)
        """The kernel's hyperparameters."""
        self._pending: _Pending | None = None

    def _fitted(self, start: Hyperparameters | None) -> Hyperparameters:
        """The hyperparameters that are most probable given the observations."""
        kept = self.fit_to
        trials, times = self._observed.trials[kept], self._times[kept]
        data = FitData(
            rows=self._rows[trials],
            owners=self._owners,
            gaps=np.abs(times[:, None] - times[None, :]),
            same=(trials[:, None] == trials[None, :]).astype(float),
            values=self._values[kept],
        )
        prior = prior_of(int(self._owners.max()) + 1)
        theta = prior.mean if start is None else start.vector
        result = minimize(
            posterior_loss,
            theta,
            args=(data, prior),
            jac=True,
            method="L-BFGS-B",
            bounds=prior.bounds,
            options={"maxiter": FIT_STEPS},
        )
        self.fit_loss = float(result.fun) + len(kept) * math.log(self._scale)
        return Hyperparameters.from_vector(result.x)

    def expect(self, rows: Array, epochs: Array, trials: Indices | None = None) -> tuple[Array, Array]:
        """Expected values at epochs, and their standard deviations, q each.

        Args:
            rows: q×c, of configurations.
            epochs: q epochs.
            trials: the observed trials that the configurations belong to; None for new trials.
        """
        at = epochs.astype(np.intp)
        own = _Points(self.hyperparameters.scaled(rows, self._owners), self._time(at), trials)
        known = self._factors
        cross = self._kernel(own, known.anchors)
        mean = cross @ known.alpha
        variance = self._total_variance - ((cross @ known.shrink) * cross).sum(1)
        if self._pending is not None:
            shared = self._kernel(own, self._pending.points) - cross @ self._pending.shrunk
            variance -= ((shared @ self._pending.inverse) * shared).sum(1)
        deviation = np.sqrt(np.maximum(variance, 1e-9))
        return self._level[at] + self._scale * mean, self._scale * deviation

    def change_by_value(self, rows: Array, epochs: Array) -> Array:
        """By how much a trial's value at an epoch may change what is expected of its configuration there, q each.

        What a trial has of its own, and noise, make the value differ, but change nothing (a knowledge gradient: Frazier
        et al., 2009, "The knowledge-gradient policy for correlated normal beliefs").

        Args:
            rows: q×c, of configurations without a trial.
            epochs: q epochs.

        Returns:
            Standard deviations of the changes.
        """
        each = self.hyperparameters
        total = (self.expect(rows, epochs)[1] / self._scale) ** 2
        shared = np.maximum(total - each.trial_variance, 0.0)
        change: Array = self._scale * shared / np.sqrt(total + each.noise)
        return change

    def with_pending(self, rows: Array, epochs: Array, trials: Indices) -> EpochModel:
        """The model that also counts values still to come: they lower deviations, and leave expected values.

        This is the same as to believe the expected values (Ginsbourger et al., 2010, "Kriging is well-suited to
        parallelize optimization", the kriging believer).

        Args:
            rows: q×c, of the configurations that are being trained.
            epochs: the q epochs that they are expected to reach.
            trials: the observed trials that they belong to; -1 where nothing of the trial is observed.
        """
        own = _Points(self.hyperparameters.scaled(rows, self._owners), self._time(epochs), trials)
        cross = self._kernel(own, self._factors.anchors)
        shrunk = self._factors.shrink @ cross.T
        covariance = self._kernel(own, own) - cross @ shrunk
        covariance[np.diag_indices_from(covariance)] += self.hyperparameters.noise + JITTER
        model = copy(self)
        model._pending = _Pending(own, shrunk, np.asarray(np.linalg.inv(covariance), dtype=np.float64))
        return model

    @property
    def scale(self) -> float:
        """The standard deviation of values around the typical curve."""
        return self._scale

    def _time(self, epochs: Array | Indices) -> Array:
        time: Array = np.log(epochs) / self._log_epochs
        return time

    def _kernel(self, a: _Points, b: _Points) -> Array:
        each = self.hyperparameters
        covariance = each.variance * matern(squared_distances(a.scaled, b.scaled))
        if a.trials is not None and b.trials is not None:
            covariance += each.trial_variance * ((a.trials[:, None] == b.trials[None, :]) & (a.trials >= 0)[:, None])
        covariance *= each.over_epochs(np.abs(a.times[:, None] - b.times[None, :]))
        return covariance

    @property
    def _total_variance(self) -> float:
        return self.hyperparameters.variance + self.hyperparameters.trial_variance

    @cached_property
    def _factors(self) -> _Factors:
        each = self.hyperparameters
        trials, inducing = self._observed.trials, self._spread(INDUCING)
        scaled = each.scaled(self._rows, self._owners)
        anchors = _Points(scaled[trials[inducing]], self._times[inducing], trials[inducing])
        to_inducing = self._kernel_of_observations(scaled, inducing)
        among = to_inducing[inducing]
        among[np.diag_indices_from(among)] += JITTER
        lower = cholesky(among, lower=True, check_finite=False)
        whitened = solve_triangular(lower, to_inducing.T, lower=True, check_finite=False)
        own = np.maximum(self._total_variance - (whitened**2).sum(0), 0.0) + each.noise
        weighted = whitened / own
        inner = np.eye(len(among)) + weighted @ whitened.T
        inner_lower = cholesky(inner, lower=True, check_finite=False)
        unwhiten = solve_triangular(lower, np.eye(len(among)), lower=True, check_finite=False)  # lower⁻¹
        half = solve_triangular(inner_lower, unwhiten, lower=True, check_finite=False)
        alpha = half.T @ solve_triangular(inner_lower, weighted @ self._values, lower=True, check_finite=False)
        return _Factors(anchors, alpha, unwhiten.T @ unwhiten - half.T @ half)

    def _kernel_of_observations(self, scaled: Array, inducing: Indices) -> Array:
        """The kernel of all observations and the inducing ones, n×m, by way of trials and epochs, which are fewer.

        Args:
            scaled: t×c, rows over length scales.
            inducing: the inducing observations.
        """
        each, trials = self.hyperparameters, self._observed.trials
        anchors, column = np.unique(trials[inducing], return_inverse=True)
        of_trials = each.variance * matern(squared_distances(scaled, scaled[anchors]))
        of_trials[anchors, np.arange(len(anchors))] += each.trial_variance
        times, epoch = np.unique(self._times, return_inverse=True)
        of_epochs = each.over_epochs(np.abs(times[:, None] - times[None, :]))
        kernel: Array = of_trials[trials][:, column]
        kernel *= of_epochs[epoch][:, epoch[inducing]]
        return kernel

    def _spread(self, count: int) -> Indices:
        """At most about `count` observations: whole curves, in turns a good one and one from all over."""
        trials, values = self._observed.trials, self._values
        if len(trials) <= count:
            return np.arange(len(trials))
        best = np.full(int(trials.max()) + 1, -np.inf)
        np.maximum.at(best, trials, values + 0.2 * self._times)
        good = np.argsort(-best)
        anywhere = np.random.default_rng(len(best)).permutation(len(best))
        order = np.stack([good, anywhere], axis=1).ravel()
        _, first = np.unique(order, return_index=True)
        ranked = order[np.sort(first)]
        sizes = np.bincount(trials, minlength=len(best))[ranked]
        kept = ranked[np.cumsum(sizes) <= count]
        return np.flatnonzero(np.isin(trials, kept))
