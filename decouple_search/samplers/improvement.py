"""Expected improvement, and the configuration of a space that has the largest.

Shapes: q configurations, d parameters, c columns of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from decouple_search.samplers.encoding import Encoding

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
"""From rows, q×c: a score of each. More is better."""

CANDIDATES = 400
"""Random configurations among which the best is looked for before it is refined."""
LISTED = 4096
"""The most configurations of a space for which all of them are candidates."""
KEPT = 6
"""Candidates whose neighbours are looked at."""
NEIGHBOURS = 12
"""Neighbours of each of them."""
WIDTHS = (0.1, 0.04, 0.015)
"""Standard deviations of the neighbours' changes, one per round, as shares of the ranges."""


def log_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """Logarithm of the expected improvement over the best (Jones et al., 1998, equation 15)."""
    z = (mean - best) / deviation
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    # For a very low z the difference underflows; its expansion 1/z² does not (Ament et al., 2023, "LogEI").
    inner = np.where(z > -20, density + z * ndtr(z), 0.0)
    far = -0.5 * z * z - 0.5 * math.log(2 * math.pi) - 2 * np.log(np.maximum(-z, 1.0))
    log_inner = np.where(z > -20, np.log(np.maximum(inner, 1e-300)), far)
    improvement: Array = log_inner + np.log(deviation)
    return improvement


class Candidates:
    """The configurations that a search may propose: all but those that it has proposed.

    Args:
        encoding: of the space.
        taken: rows of configurations that are not proposed a second time.
        rng: the generator of random configurations.
    """

    def __init__(self, encoding: Encoding, taken: Array, rng: np.random.Generator) -> None:
        self._encoding, self._rng, self._taken = encoding, rng, set(_keys(taken))
        units = encoding.listed(LISTED)
        if units is None:
            units = encoding.draw(rng, CANDIDATES)
        free = self._free(encoding.rows(units))
        self._exhausted = not free.any()  # then the best configuration is worth a repeat
        self._pool = units if self._exhausted else units[free]

    def random(self) -> dict[str, Any]:
        """A random configuration."""
        return self._encoding.point(self._pool[self._rng.integers(len(self._pool))])

    def best(self, score: Score, around: Array, also: Array | None = None) -> dict[str, Any]:
        """The configuration with the largest score.

        Args:
            score: scores rows.
            around: q×d units of good configurations, whose neighbours are candidates too.
            also: q×d units of further candidates.
        """
        units = self._pool if also is None else np.vstack([self._pool, also])
        if len(around):
            units = np.vstack([units, self._encoding.neighbours(around, NEIGHBOURS, WIDTHS[0], self._rng)])
        scores = self._scores(units, score)
        for width in WIDTHS:
            kept = np.argsort(-scores)[:KEPT]
            near = self._encoding.neighbours(units[kept], NEIGHBOURS, width, self._rng)
            units = np.vstack([units[kept], near])
            scores = np.concatenate([scores[kept], self._scores(near, score)])
        return self._encoding.point(units[int(np.argmax(scores))])

    def _scores(self, units: Array, score: Score) -> Array:
        rows = self._encoding.rows(units)
        free = np.ones(len(rows), dtype=bool) if self._exhausted else self._free(rows)
        scores = np.full(len(units), -np.inf)
        if free.any():
            scores[free] = score(rows[free])
        return scores

    def _free(self, rows: Array) -> NDArray[np.bool_]:
        return np.array([key not in self._taken for key in _keys(rows)], dtype=bool)


def _keys(rows: Array) -> list[bytes]:
    """Rows as members of a set. Rounded, because a value comes back from the study through its position."""
    rounded = np.ascontiguousarray(np.round(rows, 9) + 0.0)  # + 0.0, so that -0.0 is 0.0
    return [row.tobytes() for row in rounded]
