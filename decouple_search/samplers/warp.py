"""A warp of values, so that the model sees differences between good values better than those between bad ones.

In most searches many values lie close together near the best, and some lie far below. A Gaussian process takes values
as normal, and after the warp they are closer to that (Snelson et al., 2004, "Warped Gaussian processes"). With `u` from
0 at a low value to 1 at the best one

    warped = -log(1 + bend - u)

so a small bend stretches the values near the best. Without a bend the warp is `u`. The warp goes on as a straight line
below the low value, and above the best one from three quarters of the way to where the logarithm ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BENDS: tuple[float | None, ...] = (None, 1.0, 0.3, 0.1, 0.03)
"""The bends that a search chooses from, by the likelihood of its values; None for none."""
LOW = 0.05
"""The quantile of values at which `u` is 0."""
STRAIGHT = 0.25
"""The share of the bend at which the logarithm is continued by a straight line."""


@dataclass(frozen=True)
class Warp:
    """A rising function of values, and its inverse."""

    low: float
    """The value at which `u` is 0."""
    high: float
    """The value at which `u` is 1."""
    bend: float | None
    """How soon after the best value the logarithm ends; None for a straight line."""

    @classmethod
    def over(cls, values: Array, bend: float | None) -> Warp:
        """The warp for a search's values."""
        low, high = float(np.quantile(values, LOW)), float(values.max())
        return cls(low, high if high > low else low + 1.0, bend)

    def warped(self, values: Array) -> Array:
        """Warp values."""
        u = (values - self.low) / (self.high - self.low)
        if self.bend is None:
            return u
        end = STRAIGHT * self.bend
        left = 1 + self.bend - np.maximum(u, 0.0)
        bent = -np.log(np.maximum(left, end)) + np.maximum(end - left, 0.0) / end
        warped: Array = bent + np.minimum(u, 0.0) / (1 + self.bend)
        return warped

    def restored(self, warped: Array) -> Array:
        """The values that have these warped values."""
        u = warped
        if self.bend is not None:
            end, lowest = STRAIGHT * self.bend, -math.log(1 + self.bend)
            within = np.clip(warped, lowest, -math.log(end))
            u = 1 + self.bend - np.exp(-within)
            u = u + np.maximum(warped + math.log(end), 0.0) * end + np.minimum(warped - lowest, 0.0) * (1 + self.bend)
        values: Array = self.low + (self.high - self.low) * u
        return values

    def log_slopes(self, values: Array) -> Array:
        """Logarithms of the warp's slopes over `u`, by which likelihoods of differently warped values compare."""
        if self.bend is None:
            return np.zeros(len(values))
        u = (values - self.low) / (self.high - self.low)
        slopes: Array = -np.log(np.maximum(1 + self.bend - np.maximum(u, 0.0), STRAIGHT * self.bend))
        return slopes
