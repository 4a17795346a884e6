"""The Optuna study as Tune's searcher: asks it for each trial and tells it the truth about how each ended."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.trial import TrialState
from ray.tune import Callback
from ray.tune.search import Searcher
from ray.tune.utils import flatten_dict

from decouple_search.space.space import Space
from decouple_search.study.record import own_trials

CUT = "stopped before its first epoch ended"
LOST = "a worker was lost"


class Unfinished(NamedTuple):
    """A trial that a search before this one began."""

    number: int
    """Its number in the study."""
    since: str | None
    """The checkpoint folder to go on from; None to begin again."""
    changed: dict[str, Any]
    """Searched keys that were not what was proposed when it was written."""


class StudySearcher(Searcher):
    """Proposes trials of a space and reports them to a study.

    Args:
        study: the Optuna study.
        space: what to propose.
        config: the complete base configuration, dotted.
        trials: how many there are to be in all, with those that are in the study.
        room: how many may run at a time; the next is asked for only when one has ended, so that it is chosen with
            all that is known.
        prepare: called with a trial's number before it is asked for, to give the study its sampler.
        unfinished: trials that go on first.
        again: Tune's ids of trials that it gave up, and that begin again under another.
        newest: what such a trial goes on from, by its number.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        config: dict[str, Any],
        *,
        trials: int,
        room: Callable[[], int],
        prepare: Callable[[int], None] = lambda number: None,
        unfinished: Sequence[Unfinished] = (),
        again: Collection[str] = (),
        newest: Callable[[int], Unfinished] = lambda number: Unfinished(number, None, {}),
    ) -> None:
        super().__init__(metric=space.metric, mode=space.mode)
        self._study, self._space, self._config, self._prepare = study, space, config, prepare
        self._trials, self._room, self._lost, self._newest = trials, room, again, newest
        self._unfinished = list(unfinished)
        self._running: dict[str, optuna.Trial] = {}
        self._attempts: Counter[int] = Counter()
        self.asked = len(own_trials(study)) - len(self._unfinished)
        """Trials that have been proposed, before this run too."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next configuration, None while all slots are taken, or FINISHED."""
        if self.asked >= self._trials:
            if self._running:  # one that is lost may have to begin again
                return None
            return Searcher.FINISHED  # type: ignore[return-value]
        if self._running and len(self._running) >= self._room():
            return None
        self.asked += 1
        if self._unfinished:
            number, since, changed = self._unfinished.pop(0)
            self._prepare(number)
            trial = self._again(number)
        else:
            trials = self._study.get_trials(deepcopy=False)  # a start point has its number already
            self._prepare(next((t.number for t in trials if t.state == TrialState.WAITING), len(trials)))
            trial, since, changed = self._study.ask(), None, {}
        self._running[trial_id] = trial
        return {
            "trial": trial.number,
            "config": self._config | self._space.suggest(trial) | changed,
            "since": since,
            "attempt": self._attempts[trial.number],
            "objectives": [list(objective) for objective in self._space.objectives],
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report an epoch to the study."""
        if trial_id not in self._running:
            return
        trial, metric = self._running[trial_id], self._space.metric
        if metric not in result or not math.isfinite(result[metric]):
            return
        known = trial.user_attrs
        new = result["epoch"] > known.get("epochs", 0)  # and not one done again, after a worker was lost
        if new:
            self._report(trial, result["epoch"], result[metric])
        for name in ("lineage", "parameters"):
            if result.get(name) and result[name] != known.get(name):
                trial.set_user_attr(name, result[name])
        best, sign = known.get("best_value"), 1 if self._space.mode == "max" else -1
        if best is None or sign * result[metric] > sign * best:
            for name in ("val_map", "images_per_second"):
                if name in result:
                    trial.set_user_attr(name, result[name])
            trial.set_user_attr("objectives", [result[name] for name, _ in self._space.objectives])
            trial.set_user_attr("best_value", result[metric])
            trial.set_user_attr("best_epoch", result["epoch"])
            # Tune flattens the config that an epoch was trained with into its result; pbt may have changed it.
            if "config/config/train.epochs" in result:
                config = {key: result.get(f"config/config/{key}", value) for key, value in self._config.items()}
                if (used := self._space.present(config)) != trial.params:
                    trial.set_user_attr("in_force", used)
        if new:  # last, so that an epoch that counts is known in full
            seconds = result.get("train_seconds", 0.0) + result.get("eval_seconds", 0.0)
            trial.set_user_attr("seconds", round(known.get("seconds", 0.0) + seconds, 3))
            trial.set_user_attr("epochs", result["epoch"])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False, **_: Any
    ) -> None:
        """Tell the study how a trial ended: COMPLETE after all epochs, PRUNED if stopped before, else FAIL."""
        if trial_id not in self._running:
            return
        if trial_id in self._lost:
            trial = self._running.pop(trial_id)
            self._unfinished.append(self._newest(trial.number))
            self._attempts[trial.number] += 1
            self.asked -= 1
            return
        failure = (result or {}).get("failed") or (LOST if error else None)
        if result and not failure:
            self.on_trial_result(trial_id, result)  # Tune gives the last epoch to this call alone
        self._end(self._running.pop(trial_id), failure)

    @property
    def running(self) -> int:
        """Trials that have begun and not ended, with those that wait to go on."""
        return len(self._running) + len(self._unfinished)

    def end_running(self) -> None:
        """Tell the study of trials that ended with the budget."""
        for number, _, _ in self._unfinished:
            self._running[f"unfinished {number}"] = self._again(number)
        self._unfinished.clear()
        while self._running:
            self._end(self._running.popitem()[1], None)

    def _again(self, number: int) -> optuna.Trial:
        """A trial of the study, to go on telling of."""
        return optuna.trial.Trial(self._study, self._study.get_trials(deepcopy=False)[number]._trial_id)

    def _report(self, trial: optuna.Trial, epoch: int, value: float) -> None:
        if len(self._space.objectives) == 1:
            trial.report(value, epoch)
        else:  # of which Optuna takes no intermediate values
            trial.set_user_attr("curve", trial.user_attrs.get("curve", {}) | {str(epoch): value})

    def _end(self, trial: optuna.Trial, failure: str | None) -> None:
        epochs = trial.user_attrs.get("epochs", 0)
        if failure or not epochs:
            trial.set_user_attr("failure", failure or CUT)
            self._study.tell(trial, state=TrialState.FAIL)
        elif epochs < self._config["train.epochs"]:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, trial.user_attrs["objectives"])

    def save(self, checkpoint_path: str) -> None:
        """Write which trial of Tune is which of the study; all else is in the study."""
        numbers = {trial_id: trial.number for trial_id, trial in self._running.items()}
        Path(checkpoint_path).write_text(json.dumps({"asked": self.asked, "running": numbers}))


class Reports(Callback):
    """Tells a searcher of every epoch at once.

    Tune itself keeps back the one after which a trial is stopped until its checkpoint is written, and a search that is
    killed or whose budget is spent just then would lose it.

    Args:
        searcher: whom to tell.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        self._searcher = searcher

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Pass an epoch on."""
        self._searcher.on_trial_result(trial.trial_id, flatten_dict(result))
