"""How much of a warm search its workers train."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Callback


class BusyMeter(Callback):
    """Adds up the seconds in which gangs train and evaluate, since they are warm.

    A gang's workers train at the same time, so a slot counts as one. Warm begins when as many trials have started
    as can run at a time (when the first has, until then), and ends with the last epoch: what is left out is the
    start of Ray and of the first gangs, and what follows the last trial.

    Args:
        running: trials that can run at a time.
    """

    def __init__(self, running: int) -> None:
        self._running = running
        self._starts: list[float] = []
        self._epochs: list[tuple[float, float]] = []  # when each ended, and its seconds

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a gang is up, if it is one of the first."""
        if len(self._starts) < self._running:
            self._starts.append(time.monotonic())

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Note an epoch."""
        if "failed" not in result:
            self._epochs.append((time.monotonic(), result["train_seconds"] + result["eval_seconds"]))

    def warm(self) -> float:
        """Share of the slots' time in which they trained, while warm."""
        if not self._epochs or not self._starts:
            return 0.0
        since = self._starts[-1]
        warm = sum(max(0.0, min(seconds, end - since)) for end, seconds in self._epochs)
        return warm / ((self._epochs[-1][0] - since) * self._running) if warm else 0.0
