"""When a search has spent its seconds, its epochs or its patience; the number of trials is the searcher's to count."""

from __future__ import annotations

import time
from typing import Any

import optuna
from ray.tune import Stopper

from decouple_search.ray_tune.trainable import UNSHARED
from decouple_search.space.space import Space
from decouple_search.study.record import own_trials


class Budget(Stopper):
    """Tune's stopper of a search.

    Args:
        study: the search's.
        space: for the objective.
        epochs: the most over all trials, with those of earlier runs; None for no limit.
        patience: trials in a row that end without a better best; None for no limit.
        seconds: the most, with those of earlier runs; None for no limit.
        before: seconds of earlier runs.
        again: to which Tune's id of a trial goes that a fault ends, and that begins again another time.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        *,
        epochs: int | None = None,
        patience: int | None = None,
        seconds: float | None = None,
        before: float = 0.0,
        again: set[str] | None = None,
    ) -> None:
        self._study, self._space, self._epochs, self._patience = study, space, epochs, patience
        self._trained = sum(trial.user_attrs.get("epochs", 0) for trial in own_trials(study))
        self._seconds, self._since = seconds, time.monotonic() - before
        self.spent = ""
        """What is spent, in words."""
        self.fault = ""
        """Why no trial can go on, in words."""
        self._again = set() if again is None else again

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Count an epoch; no single trial is stopped."""
        if UNSHARED in result:  # or one such machine would use up all trials
            self.fault = result[UNSHARED]
            self._again.add(trial_id)
        if "failed" not in result:
            self._trained += 1
        return False

    def stop_all(self) -> bool:
        """Whether the search is over."""
        if self._seconds is not None and time.monotonic() - self._since >= self._seconds:
            self.spent = f"{self._seconds:g} s (--time-budget)"
        elif self._epochs is not None and self._trained >= self._epochs:
            self.spent = f"{self._trained} epochs trained (--epoch-budget)"
        elif self._patience is not None and self._vain() >= self._patience:
            self.spent = f"{self._patience} trials in a row without a better one (--patience)"
        return bool(self.spent or self.fault)

    def _vain(self) -> int:
        """Trials that have ended since the best one did."""
        sign = 1 if self._space.mode == "max" else -1
        ended = [trial for trial in own_trials(self._study) if trial.datetime_complete]
        ended.sort(key=lambda trial: trial.datetime_complete.timestamp())  # type: ignore[union-attr]
        reached = [trial.user_attrs.get("best_value") for trial in own_trials(self._study)]
        best = max((sign * value for value in reached if value is not None), default=0.0)
        values = [sign * trial.user_attrs.get("best_value", -sign * float("inf")) for trial in ended]
        if not values or max(values) < best:  # one that still trains is better than all
            return 0
        return len(values) - 1 - values.index(max(values))
