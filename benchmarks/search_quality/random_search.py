"""Random search: each configuration is trained to the end."""

from __future__ import annotations

import numpy as np

from benchmarks.search_quality.searcher import Job, Verdict
from decouple_search.space.space import Space


class RandomSearch:
    """Draws configurations.

    Args:
        space: the space.
        seed: seed of the draws.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._rng, self._count = space, np.random.default_rng(seed), 0

    def suggest(self) -> Job:
        """A new trial."""
        self._count += 1
        return Job(self._count, self._space.draw(self._rng))

    def report(self, trial: int, epoch: int, value: float, seconds: float) -> Verdict:
        """Go on."""
        return "continue"
