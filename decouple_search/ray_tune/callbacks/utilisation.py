"""How long a search takes, and for which share of that time its workers train."""

from __future__ import annotations

import time
from typing import Any

import optuna
from ray.tune import Callback

from decouple_search.machines.trial_slots import TrialSlots
from decouple_search.ray_tune.tune_result import from_tune
from decouple_search.study.record import StudyRecord


class SearchClock:
    """Records in the study how long its search has taken, over all runs, and how many slots there were.

    Args:
        study: the search's study.
        slots: the number of slots over the time.
        started: when this run started, on the monotonic clock.
    """

    def __init__(self, study: optuna.Study, slots: TrialSlots, started: float) -> None:
        self._record, self._slots, self._started = StudyRecord(study), slots, started
        self.earlier_seconds = self._record.wall_seconds
        """Seconds of earlier runs."""
        self._earlier_slot_seconds = self._record.slot_seconds

    def note(self) -> None:
        """Record the time until now."""
        self._slots()  # looks at the cluster now and then
        now = time.monotonic()
        slot_seconds = self._slots.slot_seconds(self._started, now)
        self._record.set_seconds(self.earlier_seconds + now - self._started, self._earlier_slot_seconds + slot_seconds)


class BusyMeter(Callback):
    """Measures the share of the slots' time in which gangs train and evaluate, once they are warm.

    The workers of a gang train at the same time, so a slot counts once. The warm time starts when all first gangs are
    up, one per slot, and ends with the last epoch. It leaves out the start of Ray and of the first gangs, and what
    follows the last trial.

    Args:
        first_slots: the number of slots at the start.
        slots: the number of slots over the time.
    """

    def __init__(self, first_slots: int, slots: TrialSlots) -> None:
        self._first_slots, self._slots = first_slots, slots
        self._starts: list[float] = []
        self._epochs: list[tuple[float, float]] = []  # when each epoch ended, and its seconds

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a gang is up, if it is one of the first."""
        if len(self._starts) < self._first_slots:
            self._starts.append(time.monotonic())

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Note an epoch."""
        epoch_result = from_tune(result)
        if epoch_result.failure is None:
            self._epochs.append((time.monotonic(), epoch_result.seconds))

    def warm(self) -> float:
        """The busy share of the slots' time while they were warm."""
        if not self._epochs or not self._starts:
            return 0.0
        since = self._starts[-1]
        busy = sum(max(0.0, min(seconds, end - since)) for end, seconds in self._epochs)
        return busy / self._slots.slot_seconds(since, self._epochs[-1][0]) if busy else 0.0
