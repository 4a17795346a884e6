"""How many trials can run at the same time, now and over the time of a search."""

from __future__ import annotations

import time
from itertools import pairwise

from decouple_search.machines.capacity import Capacity
from decouple_search.machines.connection import CurrentLimits, current_machines
from decouplenet.command_line import print_line
from decouplenet.config import Config

LOOK_SECONDS = 5.0
"""Seconds between two looks at the cluster."""


class TrialSlots:
    """The trials that can run at the same time on the machines that are there or that the autoscaler may add.

    Args:
        config: its scaling section has the needs of a trial.
        limits: gives the machines that may be added.
        maximum: the most trials that may run at the same time.
    """

    def __init__(self, config: Config, limits: CurrentLimits, maximum: int) -> None:
        self._config, self._limits, self._maximum = config, limits, maximum
        self.history: list[tuple[float, int]] = []
        """The moments at which the number of slots changed, on the monotonic clock, and the new numbers."""
        self._looked, self._waiting = 0.0, False

    def __call__(self) -> int:
        """The number of slots, at least 1: a trial without machines waits for them."""
        now = time.monotonic()
        if not self.history or now - self._looked > LOOK_SECONDS:
            trials = Capacity(self._config.scaling).trials(current_machines(self._config, self._limits())[1])
            self._note(now, max(1, min(trials, self._maximum)))
            if not trials and not self._waiting:
                print_line("waiting    for machines: no trial fits on the machines that are there")
            self._looked, self._waiting = now, not trials
        return self.history[-1][1]

    def slot_seconds(self, since: float, until: float) -> float:
        """Slots times seconds between two moments. Before the first look, its number of slots counts."""
        if not self.history:
            return 0.0
        moments = [(float("-inf"), self.history[0][1]), *self.history[1:], (float("inf"), 0)]
        return sum(
            slots * max(0.0, min(end, until) - max(start, since)) for (start, slots), (end, _) in pairwise(moments)
        )

    def _note(self, now: float, trials: int) -> None:
        if not self.history or self.history[-1][1] != trials:
            self.history.append((now, trials))
