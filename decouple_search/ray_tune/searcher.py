"""The Optuna study as Tune's searcher: it proposes trials from the study, and records in it how each trial went."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.finals import Finals
from decouple_search.ray_tune.proposals import Proposals, from_beginning
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import from_tune, result_or_none
from decouple_search.space.space import Space
from decouple_search.study.compat import reopen_trial
from decouple_search.study.record import WORKER_LOST, TrialRecord, own_trials
from decouple_search.study.resume import ResumableTrial, pause_with_curve
from decouple_search.study.screened import screened_config
from decouple_search.study.trial_log import TrialLog, note_pause


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
        self._resumable = [start for start in proposals.resumable if not (start.is_repeat or start.is_screened)]
        if proposals.promotions is not None:
            self._resumable = pause_with_curve(study, self._resumable)
        self._resumable_repeats = [start for start in proposals.resumable if start.is_repeat]
        self._resumable_screened = [start for start in proposals.resumable if start.is_screened]
        self._running: dict[str, TrialLog] = {}  # by Tune's id
        self._attempts: Counter[int] = Counter()
        self.proposed = len(own_trials(study)) - len(self._resumable)
        """The number of full trials of the search that have been proposed, with those of earlier runs."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial's specification, None while all slots are taken, or FINISHED."""
        if self._running and len(self._running) >= self._proposals.slots():
            return None
        started = self._next()
        if started is None:
            if self._running:  # a lost trial may have to be proposed once more
                return None
            return Searcher.FINISHED  # type: ignore[return-value]
        trial, start = started
        log = self._running[trial_id] = TrialLog(self._study, trial)
        return TrialSpec(
            number=trial.number,
            config=self._config_of(trial, log.record) | start.changed,
            objectives=self._space.objectives,
            checkpoint=start.checkpoint,
            attempt=self._attempts[trial.number],
            repeat_of=log.record.repeat_of,
            screened=start.is_screened,
        ).to_tune()

    def _config_of(self, trial: optuna.Trial, record: TrialRecord) -> dict[str, Any]:
        """The complete configuration of a trial, dotted."""
        if record.screen_epochs is not None:
            return screened_config(self._config, record.frozen.params, record.screen_epochs)
        seed = {} if record.seed is None else {"train.seed": record.seed}
        return self._config | self._space_of(trial.number).suggest(trial) | seed

    def _next(self) -> tuple[optuna.Trial, ResumableTrial] | None:
        """The next trial and where it starts from; None while there is none. All that decides the order is here.

        The search's own trials come first: those that started earlier, then new ones, screened or full. The
        finalists' trainings begin when all of these have ended.
        """
        if not self._proposals.is_over():
            if self._resumable_screened:
                return self._reopened(self._resumable_screened.pop(0))
            if self._proposals.screening is not None and self._screens:
                return self._reopened(ResumableTrial(self._proposals.screening.begin(), None, {}, is_screened=True))
        if self._resumable and not self._proposals.is_over():
            return self._reopened(self._resumable.pop(0))
        choice = self._choice()
        if choice is not None:
            return self._asked() if choice == "new" else self._promoted(choice)
        finals = self._proposals.finals
        if finals is None or (self._running and not finals.begun):
            return None
        self._begin(finals)
        if self._resumable_repeats:
            return self._reopened(self._resumable_repeats.pop(0))
        number = finals.next()
        return None if number is None else self._reopened(ResumableTrial(number, None, {}, is_repeat=True))

    def _begin(self, finals: Finals) -> None:
        """Begin with the finalists' trainings. The trials that wait to be resumed count as they are."""
        self._end_waiting()
        finals.begin()

    def _choice(self) -> int | Literal["new"] | None:
        """What a free slot trains next: a paused trial by its number, a new one, or none of the search's own."""
        if self._proposals.is_over():
            return None
        if self._proposals.promotions is not None:
            return self._proposals.promotions.next()
        return "new" if self.proposed < self._proposals.trials else None

    @property
    def _searches(self) -> bool:
        """Whether trials of the search itself are left to propose."""
        waiting = (self._resumable or self._resumable_screened or self._screens) and not self._proposals.is_over()
        return bool(waiting) or self._choice() is not None

    @property
    def _screens(self) -> bool:
        """Whether the next free slot screens a head."""
        screening, choice = self._proposals.screening, self._choice()
        return screening is not None and choice is not None and screening.is_next(instead_of_new=choice == "new")

    def _reopened(self, start: ResumableTrial) -> tuple[optuna.Trial, ResumableTrial]:
        """A trial that is in the study already."""
        if not (start.is_repeat or start.is_screened):  # nothing is drawn for those
            self.proposed += 1
            self._proposals.prepare(start.number)
        return reopen_trial(self._study, start.number), start

    def _promoted(self, number: int) -> tuple[optuna.Trial, ResumableTrial]:
        """A paused trial that goes on."""
        note_pause(self._study, number, None)
        return reopen_trial(self._study, number), self._proposals.resume_point(number)

    def _asked(self) -> tuple[optuna.Trial, ResumableTrial]:
        """A new trial of the study. A start point has its number already."""
        self.proposed += 1
        trials = self._study.get_trials(deepcopy=False)
        self._proposals.prepare(next((t.number for t in trials if t.state == TrialState.WAITING), len(trials)))
        trial = self._study.ask()
        return trial, from_beginning(trial.number)

    def _space_of(self, number: int) -> Space:
        return self._proposals.space_of(number) if self._proposals.space_of else self._space

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record an epoch."""
        self.record(trial_id, from_tune(result))

    def record(self, trial_id: str, result: EpochResult) -> None:
        """Record an epoch of a running trial, if it has a finite value."""
        value = result.measures.get(self._space.metric, math.nan)
        if trial_id not in self._running or not math.isfinite(value):
            return
        used = None
        if result.config is not None and not result.screened:  # pbt may have changed what was proposed
            used = self._space.present({**self._config, **result.config})
        self._running[trial_id].epoch(result, self._space.objectives, used)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False, **_: Any
    ) -> None:
        """Record how a trial ended, or keep it to be proposed once more."""
        if trial_id not in self._running:
            return
        if self._requeue.is_pausing(trial_id) and not error:
            log = self._running.pop(trial_id)
            self._attempts[log.trial.number] += 1
            note_pause(self._study, log.trial.number, log.record.epochs)
            self._end_hopeless()
            return
        if self._requeue.has(trial_id):
            number = self._running.pop(trial_id).trial.number
            start = self._proposals.resume_point(number)
            self._waiting(start).append(start)
            self._attempts[number] += 1
            self.proposed -= not (start.is_repeat or start.is_screened)
            return
        last = result_or_none(result)
        failure = (last.failure if last else None) or (WORKER_LOST if error else None)
        if last and not failure:
            self.record(trial_id, last)  # Tune gives the last epoch to this call alone
        self._end(self._running.pop(trial_id), failure)

    @property
    def running(self) -> int:
        """The number of trials that have started and not ended, with those that wait to be resumed."""
        return len(self._running) + sum(map(len, (self._resumable, self._resumable_screened, self._resumable_repeats)))

    def _waiting(self, start: ResumableTrial) -> list[ResumableTrial]:
        """Where a trial waits to be resumed."""
        if start.is_screened:
            return self._resumable_screened
        return self._resumable_repeats if start.is_repeat else self._resumable

    def has_more(self) -> bool:
        """Whether something is left to train."""
        finals = self._proposals.finals
        if self._searches or finals is None:
            return self._searches
        if not self._running:
            self._begin(finals)
        return not finals.are_over

    def end_running(self) -> None:
        """Record the end of the trials that a budget ended."""
        for others in (self._resumable_repeats, self._resumable_screened):
            self._resumable += others
            others.clear()
        self._end_waiting()
        while self._running:
            self._end(self._running.popitem()[1], None)

    def _end_waiting(self) -> None:
        """Record the end of the trials that wait to be resumed, or are paused."""
        paused = [record.number for record in own_trials(self._study) if record.is_paused]
        for number in [*(start.number for start in self._resumable), *paused]:
            self._end(TrialLog(self._study, reopen_trial(self._study, number)), None)
        self._resumable.clear()

    def _end_hopeless(self) -> None:
        """Record the end of paused trials that are too many to keep their checkpoints."""
        for number in self._proposals.promotions.hopeless() if self._proposals.promotions else ():
            self._end(TrialLog(self._study, reopen_trial(self._study, number)), None)

    def _end(self, log: TrialLog, failure: str | None) -> None:
        log.end(failure, self._config["train.epochs"])

    def save(self, checkpoint_path: str) -> None:
        """Write which trial of Tune is which of the study. Everything else is in the study."""
        numbers = {trial_id: log.trial.number for trial_id, log in self._running.items()}
        Path(checkpoint_path).write_text(json.dumps({"proposed": self.proposed, "running": numbers}))
