"""How long a search takes, and how much of that its workers train."""

from __future__ import annotations

import time
from typing import Any

import optuna
from ray.tune import Callback

from decouple_search.machines.trial_slots import Room


class Clock:
    """Notes in a study how long its search has taken by now, over all its runs, and how much room there was for trials.

    Args:
        study: the search's.
        room: trials that can run at a time, over the time.
        started: when this run began, on the monotonic clock.
    """

    def __init__(self, study: optuna.Study, room: Room, started: float) -> None:
        self._study, self._room, self._started = study, room, started
        self.before = study.user_attrs.get("wall_seconds", 0.0)
        """Seconds of earlier runs."""
        self._slots_before = study.user_attrs.get("slot_seconds", 0.0)

    def note(self) -> None:
        """Set the study's attributes `wall_seconds`, and `slot_seconds`: the time of all slots."""
        self._room()  # which looks now and then, whoever asks
        now = time.monotonic()
        slots = self._room.slot_seconds(self._started, now)
        self._study.set_user_attr("wall_seconds", round(self.before + now - self._started, 2))
        self._study.set_user_attr("slot_seconds", round(self._slots_before + slots, 2))


class BusyMeter(Callback):
    """Adds up the seconds in which gangs train and evaluate, since they are warm.

    A gang's workers train at the same time, so a slot counts as one. Warm begins when as many trials have started
    as can run at a time (when the first has, until then), and ends with the last epoch: what is left out is the
    start of Ray and of the first gangs, and what follows the last trial.

    Args:
        running: trials that can run at a time, in the beginning.
        room: how many can over the time.
    """

    def __init__(self, running: int, room: Room) -> None:
        self._running, self._room = running, room
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
        return warm / self._room.slot_seconds(since, self._epochs[-1][0]) if warm else 0.0
