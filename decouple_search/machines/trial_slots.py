"""How many trials have room on the cluster, now and over the time of a search."""

from __future__ import annotations

import time
from itertools import pairwise

from decouple_search.machines.connection import Growth, machines
from decouple_search.plan import fitting
from decouplenet.command_line import print_line
from decouplenet.config import Config

LOOK = 5.0
"""Seconds between two looks at the cluster."""


class Room:
    """The trials that can run at a time: of the machines that are there, or that the autoscaler may add.

    Args:
        config: what a trial needs.
        growth: the machines that may be added.
        most: trials that there are to be at a time at most.
    """

    def __init__(self, config: Config, growth: Growth, most: int) -> None:
        self._config, self._growth, self._most = config, growth, most
        self._known: list[tuple[float, int]] = []  # since when there has been room for how many
        self._looked, self._waits = 0.0, False

    def __call__(self) -> int:
        """The trials, 1 at least: it then waits for its machines."""
        now = time.monotonic()
        if not self._known or now - self._looked > LOOK:
            trials = fitting(self._config, machines(self._config, self._growth())[1])
            self._note(now, max(1, min(trials, self._most)))
            if not trials and not self._waits:
                print_line("waiting    for machines: no trial has room on those that are there")
            self._looked, self._waits = now, not trials
        return self._known[-1][1]

    def slot_seconds(self, since: float, until: float) -> float:
        """The time of all slots between two moments of the monotonic clock; before the first look as at that."""
        if not self._known:
            return 0.0
        ends = [(float("-inf"), self._known[0][1]), *self._known[1:], (float("inf"), 0)]
        return sum(slots * max(0.0, min(end, until) - max(start, since)) for (start, slots), (end, _) in pairwise(ends))

    def _note(self, now: float, trials: int) -> None:
        if not self._known or self._known[-1][1] != trials:
            self._known.append((now, trials))
