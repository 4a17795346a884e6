"""The Optuna study as Tune's searcher: it proposes trials from the study, and records in it how each trial went."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune import Callback
from ray.tune.search import Searcher

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import from_tune, result_or_none
from decouple_search.space.space import Space
from decouple_search.study.compat import reopen_trial
from decouple_search.study.record import WORKER_LOST, own_trials
from decouple_search.study.resume import ResumableTrial
from decouple_search.study.trial_log import TrialLog


def _ignore(number: int) -> None:
    """Keep the study's sampler."""


def _from_beginning(number: int) -> ResumableTrial:
    return ResumableTrial(number, None, {})


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """How many trials a searcher proposes, and how."""

    trials: int
    """Trials in all, with those that are in the study."""
    slots: Callable[[], int]
    """Gives the number of trials that may run at the same time. The next trial is proposed when a slot is free, so
    that everything known by then counts."""
    prepare: Callable[[int], None] = _ignore
    """Called with a trial's number before the study proposes it; gives the study its sampler."""
    resumable: Sequence[ResumableTrial] = ()
    """Trials of earlier runs that continue first."""
    resume_point: Callable[[int], ResumableTrial] = _from_beginning
    """Gives where a requeued trial continues from, by its number."""


class StudySearcher(Searcher):
    """Proposes trials of a space and records them in a study.

    Args:
        study: the Optuna study.
        space: the searched space.
        config: the complete base configuration, dotted.
        proposals: how many trials, and how they are proposed.
        requeue: the trials that Tune gave up and that are proposed once more.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        config: dict[str, Any],
        proposals: Proposals,
        requeue: Requeue | None = None,
    ) -> None:
        super().__init__(metric=space.metric, mode=space.mode)
        self._study, self._space, self._config = study, space, config
        self._proposals, self._requeue = proposals, requeue or Requeue()
        self._resumable = list(proposals.resumable)
        self._running: dict[str, TrialLog] = {}  # by Tune's id
        self._attempts: Counter[int] = Counter()
        self.proposed = len(own_trials(study)) - len(self._resumable)
        """The number of trials that have been proposed, with those of earlier runs."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial's specification, None while all slots are taken, or FINISHED."""
        if self.proposed >= self._proposals.trials:
            if self._running:  # a lost trial may have to be proposed once more
                return None
            return Searcher.FINISHED  # type: ignore[return-value]
        if self._running and len(self._running) >= self._proposals.slots():
            return None
        self.proposed += 1
        trial, start = self._resumed() if self._resumable else self._asked()
        self._running[trial_id] = TrialLog(self._study, trial)
        return TrialSpec(
            number=trial.number,
            config=self._config | self._space.suggest(trial) | start.changed,
            objectives=self._space.objectives,
            checkpoint=start.checkpoint,
            attempt=self._attempts[trial.number],
        ).to_tune()

    def _resumed(self) -> tuple[optuna.Trial, ResumableTrial]:
        """A trial that started earlier."""
        start = self._resumable.pop(0)
        self._proposals.prepare(start.number)
        return reopen_trial(self._study, start.number), start

    def _asked(self) -> tuple[optuna.Trial, ResumableTrial]:
        """A new trial of the study. A start point has its number already."""
        trials = self._study.get_trials(deepcopy=False)
        self._proposals.prepare(next((t.number for t in trials if t.state == TrialState.WAITING), len(trials)))
        trial = self._study.ask()
        return trial, _from_beginning(trial.number)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record an epoch."""
        self.record(trial_id, from_tune(result))

    def record(self, trial_id: str, result: EpochResult) -> None:
        """Record an epoch of a running trial, if it has a finite value."""
        value = result.measures.get(self._space.metric, math.nan)
        if trial_id not in self._running or not math.isfinite(value):
            return
        used = None
        if result.config is not None:  # pbt may have changed what was proposed
            used = self._space.present({**self._config, **result.config})
        self._running[trial_id].epoch(result, self._space.objectives, used)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False, **_: Any
    ) -> None:
        """Record how a trial ended, or keep it to be proposed once more."""
        if trial_id not in self._running:
            return
        if self._requeue.has(trial_id):
            number = self._running.pop(trial_id).trial.number
            self._resumable.append(self._proposals.resume_point(number))
            self._attempts[number] += 1
            self.proposed -= 1
            return
        last = result_or_none(result)
        failure = (last.failure if last else None) or (WORKER_LOST if error else None)
        if last and not failure:
            self.record(trial_id, last)  # Tune gives the last epoch to this call alone
        self._end(self._running.pop(trial_id), failure)

    @property
    def running(self) -> int:
        """The number of trials that have started and not ended, with those that wait to be resumed."""
        return len(self._running) + len(self._resumable)

    def end_running(self) -> None:
        """Record the end of the trials that a budget ended."""
        for start in self._resumable:
            self._end(TrialLog(self._study, reopen_trial(self._study, start.number)), None)
        self._resumable.clear()
        while self._running:
            self._end(self._running.popitem()[1], None)

    def _end(self, log: TrialLog, failure: str | None) -> None:
        log.end(failure, self._config["train.epochs"])

    def save(self, checkpoint_path: str) -> None:
        """Write which trial of Tune is which of the study. Everything else is in the study."""
        numbers = {trial_id: log.trial.number for trial_id, log in self._running.items()}
        Path(checkpoint_path).write_text(json.dumps({"proposed": self.proposed, "running": numbers}))


class EpochRecorder(Callback):
    """Records every epoch in the study at once.

    Tune itself holds back the epoch after which a trial is stopped until the trial's checkpoint is written. A search
    that is killed, or whose budget is used up, just then would lose that epoch.

    Args:
        searcher: the searcher that records.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        self._searcher = searcher

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Record an epoch."""
        self._searcher.record(trial.trial_id, from_tune(result))
