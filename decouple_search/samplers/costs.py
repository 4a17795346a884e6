"""How long an epoch of a configuration takes, beside a typical one of the same search.

Seconds are measured, often on a busy machine, so small differences are noise: a cost within a factor of two of the
median counts as the median. Where nine in ten configurations do, all do, and the search decides as if it had no clock.

Shapes: t trials, q configurations, c columns of rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from decouple_search.samplers.curves import Observations
from decouple_search.samplers.gaussian_process import EpochModel
from decouple_search.samplers.kernel import Hyperparameters, prior_of

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

EQUAL = math.log(2)
"""Distance of logarithms within which a cost counts as the median."""
WEIGHT = 0.5
"""The power of a cost that an improvement is divided by: a compromise between few epochs and few seconds."""
FEW = 0.1
"""The share of other costs up to which all count as the median."""
TAKEN = 150
"""The most durations that the process takes: costs change smoothly, and more of them add little."""


class EpochCosts:
    """Costs of an epoch, from the durations of others: a Gaussian process of their logarithms, at its prior's mean.

    Args:
        rows: t×c, of the trials whose durations are known; at least one.
        owners: the parameter that each column belongs to.
        seconds: t mean seconds per epoch, above 0.
    """

    def __init__(self, rows: Array, owners: Indices, seconds: Array) -> None:
        logs = np.log(seconds)
        self._median = float(np.median(logs))
        self._model = None
        if (np.abs(logs - self._median) > EQUAL).mean() > FEW:
            taken = np.argsort(logs, kind="stable")[np.unique(np.linspace(0, len(logs) - 1, TAKEN).astype(np.intp))]
            first = np.ones(len(taken), dtype=np.intp)
            observed = Observations(np.arange(len(taken)), first, logs[taken])
            typical = Hyperparameters.from_vector(prior_of(int(owners.max()) + 1).mean)
            self._model = EpochModel(rows[taken], owners, observed, 1, typical)

    def log_divisors(self, rows: Array) -> Array:
        """Logarithms of what the expected improvements of q configurations are divided by; 0 at a typical cost."""
        if self._model is None:
            return np.zeros(len(rows))
        away = self._model.expect(rows, np.ones(len(rows)))[0] - self._median
        divisors: Array = WEIGHT * np.sign(away) * np.maximum(np.abs(away) - EQUAL, 0.0)
        return divisors
