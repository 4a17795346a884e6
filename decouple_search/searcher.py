"""The Optuna study as Tune's searcher: asks it for each trial and tells it the truth about how each ended.

The study is the one record of a search: the leaderboard is written from it, and Optuna's own tools open it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search import Searcher

from decouple_search.samplers import SAMPLERS, check_sampler
from decouple_search.space import Space

STUDY_NAME = "decouple_search"


def open_study(file: Path, sampler: str = "tpe", *, seed: int | None = None, mode: str = "max") -> optuna.Study:
    """The study in a journal file, made if it is not there.

    Raises:
        InputError: an unknown sampler, or a seed out of range.
    """
    check_sampler(sampler, seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(file)))
    return optuna.create_study(
        storage=storage,
        sampler=SAMPLERS[sampler](seed),
        study_name=STUDY_NAME,
        direction="maximize" if mode == "max" else "minimize",
        load_if_exists=True,
    )


def trial_name(number: int) -> str:
    """A trial's id in files and output, from its number in the study."""
    return f"{number:04d}"


class StudySearcher(Searcher):
    """Proposes trials of a space and reports them to a study.

    Args:
        study: the Optuna study.
        space: what to propose.
        config: the complete base configuration, dotted.
        trials: how many to propose in all.
        max_concurrent: how many may run at a time; the next is asked for only when one has ended, so that it
            is chosen with all that is known.
        stay: whether the search is over only when the last trial has ended, not when the last is proposed.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        config: dict[str, Any],
        *,
        trials: int,
        max_concurrent: int,
        stay: bool = False,
    ) -> None:
        super().__init__(metric=space.metric, mode=space.mode)
        self._study, self._space, self._config = study, space, config
        self._trials, self._max_concurrent, self._stay = trials, max_concurrent, stay
        self._running: dict[str, optuna.Trial] = {}
        self.asked = 0
        for point in space.checked_start():
            study.enqueue_trial(point)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next configuration, None while all slots are taken, or FINISHED."""
        if self.asked >= self._trials:
            if self._stay and self._running:
                return None
            return Searcher.FINISHED  # type: ignore[return-value]
        if len(self._running) >= self._max_concurrent:
            return None
        trial = self._study.ask()
        self.asked += 1
        self._running[trial_id] = trial
        proposed = self._space.suggest(trial)
        return {
            "trial": trial.number,
            "config": self._config | proposed,
            "metric": self._space.metric,
            "mode": self._space.mode,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report an epoch to the study."""
        if trial_id not in self._running:
            return
        trial, metric = self._running[trial_id], self._space.metric
        if metric not in result or not math.isfinite(result[metric]):
            return
        known = trial.user_attrs
        if result["epoch"] > known.get("epochs", 0):  # not one done again, after a worker was lost
            trial.report(result[metric], result["epoch"])
            trial.set_user_attr("epochs", result["epoch"])
        if result.get("lineage") and result["lineage"] != known.get("lineage"):
            trial.set_user_attr("lineage", result["lineage"])
        best, sign = known.get("best_value"), 1 if self._space.mode == "max" else -1
        if best is None or sign * result[metric] > sign * best:
            trial.set_user_attr("best_value", result[metric])
            trial.set_user_attr("best_epoch", result["epoch"])
            trial.set_user_attr("val_map", result["val_map"])
            # Tune flattens the config that an epoch was trained with into its result; pbt may have changed it.
            config = {key: result.get(f"config/config/{key}", value) for key, value in self._config.items()}
            if (used := self._space.present(config)) != trial.params and "config/trial" in result:
                trial.set_user_attr("parameters", used)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False, **_: Any
    ) -> None:
        """Tell the study how a trial ended: COMPLETE after all epochs, PRUNED if stopped before, else FAIL."""
        if trial_id not in self._running:
            return
        failure = (result or {}).get("failed") or ("a worker was lost" if error else None)
        if result and not failure:
            self.on_trial_result(trial_id, result)  # Tune gives the last epoch to this call alone
        self._end(self._running.pop(trial_id), failure)

    def end_interrupted(self) -> bool:
        """Tell the study of trials that were running when the search was stopped; whether there were any."""
        stopped = bool(self._running)
        while self._running:
            self._end(self._running.popitem()[1], None)
        return stopped

    def _end(self, trial: optuna.Trial, failure: str | None) -> None:
        epochs = trial.user_attrs.get("epochs", 0)
        if failure or not epochs:
            trial.set_user_attr("failure", failure or "stopped before its first epoch ended")
            self._study.tell(trial, state=TrialState.FAIL)
        elif epochs < self._config["train.epochs"]:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, trial.user_attrs["best_value"])

    def save(self, checkpoint_path: str) -> None:
        """Write which trial of Tune is which of the study; all else is in the study."""
        numbers = {trial_id: trial.number for trial_id, trial in self._running.items()}
        Path(checkpoint_path).write_text(json.dumps({"asked": self.asked, "running": numbers}))
