"""When a search has used up its seconds, its epochs or its patience. The searcher counts the trials.

The budget is that of the search's own trials. Epochs of screened trials do not count, but their seconds do. The
trainings of its finalists follow when it is used up.
"""

from __future__ import annotations

import time
from typing import Any

import optuna
from ray.tune import Stopper

from decouple_search.ray_tune.finals import Finals
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.tune_result import from_tune
from decouple_search.space.space import Space
from decouple_search.study.record import TrialRecord, own_trials


class Budget(Stopper):
    """Tune's stopper of a search.

    Args:
        study: the search's study.
        space: the searched space, for the objective.
        requeue: where a trial is marked that ended only because of its machine.
        epochs: the most epochs over all trials and runs; None for no limit.
        patience: trials in a row that may end without a better best value; None for no limit.
        seconds: the most seconds over all runs; None for no limit.
        earlier_seconds: seconds of earlier runs.
        finals: the finalists' trainings; None for none. They keep Tune running when the budget is used up, so each
            trial of the search ends with its next epoch then.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        requeue: Requeue,
        *,
        epochs: int | None = None,
        patience: int | None = None,
        seconds: float | None = None,
        earlier_seconds: float = 0.0,
        finals: Finals | None = None,
    ) -> None:
        self._study, self._space, self._requeue, self._finals = study, space, requeue, finals
        self._epochs, self._patience = epochs, patience
        self._trained = sum(trial.epochs for trial in own_trials(study))
        self._seconds, self._since = seconds, time.monotonic() - earlier_seconds
        self.spent = ""
        """Which limit is reached, in words."""
        self.fault = ""
        """Why no trial can continue, in words."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Count an epoch. Says whether the trial is to stop, because other trials follow it."""
        epoch_result = from_tune(result)
        if epoch_result.missing_folder:  # otherwise one such machine would use up all trials
            self.fault = epoch_result.missing_folder
            self._requeue.mark(trial_id)
        if self._finals is not None and self._finals.begun:
            return False
        self._trained += epoch_result.failure is None and not epoch_result.screened
        return self._finals is not None and self.is_spent()

    def stop_all(self) -> bool:
        """Whether Tune is to end."""
        return bool(self.fault or (self.is_spent() and self._finals is None))

    def is_spent(self) -> bool:
        """Whether the search may train no more. Once the finalists' trainings have begun, nothing changes that."""
        if self.spent or (self._finals and self._finals.begun):
            return bool(self.spent)
        if self._seconds is not None and time.monotonic() - self._since >= self._seconds:
            self.spent = f"{self._seconds:g} s (--time-budget)"
        elif self._epochs is not None and self._trained >= self._epochs:
            self.spent = f"{self._trained} epochs trained (--epoch-budget)"
        elif self._patience is not None and self._since_best() >= self._patience:
            self.spent = f"{self._patience} trials in a row without a better one (--patience)"
        return bool(self.spent)

    def _since_best(self) -> int:
        """The number of trials that have ended since the best trial ended; 0 while a running trial is the best."""
        utility = self._space.objective.utility
        trials = own_trials(self._study)
        best = max((utility(t.best_value) for t in trials if t.best_value is not None), default=0.0)
        ended = [trial for trial in trials if trial.ended or trial.is_paused]
        ended.sort(key=_left_at)
        reached = [-float("inf") if t.best_value is None else utility(t.best_value) for t in ended]
        if not reached or max(reached) < best:
            return 0
        return len(reached) - 1 - reached.index(max(reached))


def _left_at(trial: TrialRecord) -> float:
    """When a trial ended; when it started if it is paused, as a trial is usually paused soon."""
    left = trial.frozen.datetime_complete or trial.frozen.datetime_start
    return left.timestamp() if left else 0.0
