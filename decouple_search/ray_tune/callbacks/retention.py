"""Which checkpoints of a search stay: those that something may still need, and the best few."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ray.tune import Callback

from decouple_search.ray_tune.compat import restart_paths
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import last_result
from decouple_search.space.objective import Objective
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.study.record import trial_name
from decouple_search.study.resume import EarlierTrial


class RankedCheckpoint(NamedTuple):
    """A checkpoint and how good it is."""

    utility: float
    """The objective at the checkpoint, turned so that more is better."""
    path: str
    """The checkpoint's path, as `Checkpoints` names it."""


class EndedTrial(NamedTuple):
    """A trial that has ended."""

    succeeded: bool
    """Whether it did not fail."""
    best: RankedCheckpoint
    """Its best checkpoint."""


class Retention(Callback):
    """Deletes checkpoints as soon as nothing can need them any more.

    A running trial keeps its best checkpoint, which a search may export, and its newest ones, from which it or another
    trial may continue. Of the ended trials, the best `keep` trials keep their best checkpoint; failed trials rank
    last. A checkpoint that a trial would restart from stays, whichever trial wrote it. Of the trainings of a finalist,
    the best one keeps its best checkpoint.

    Args:
        checkpoints: the search's checkpoints.
        keep: the number of ended trials whose best checkpoint stays.
        objective: the first objective.
        recent: the number of newest checkpoints that a running trial keeps.
        earlier: the trials of earlier runs by name.
        delete: deletes a checkpoint; by default at once.
        requeue: the trials that are proposed once more when they end.
        ended: gives the names of the trials that have ended, also of those that ended while they were paused.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        keep: int,
        objective: Objective,
        *,
        recent: int = 1,
        earlier: Mapping[str, EarlierTrial] | None = None,
        delete: Callable[[str], None] | None = None,
        requeue: Requeue | None = None,
        ended: Callable[[], set[str]] = set,
    ) -> None:
        self._checkpoints, self._delete_checkpoint = checkpoints, delete or checkpoints.delete
        self._keep, self._objective, self._recent = keep, objective, recent
        self._requeue, self._ended_names = requeue or Requeue(), ended
        self._running: dict[str, list[RankedCheckpoint]] = {}  # by trial, oldest first
        self._ended: dict[str, EndedTrial] = {}  # by name
        self._repeat_of: dict[str, str | None] = {}  # by trial, the finalist that it trains anew
        self._unneeded: list[RankedCheckpoint] = []  # unless a trial would restart from them
        by_trial = checkpoints.all() if earlier else {}
        for name, trial in (earlier or {}).items():
            self._running[name] = self._whole(by_trial.get(name, []))
            self._repeat_of[name] = trial.repeat_of
            if trial.ended:
                self._end(name, succeeded=trial.succeeded)

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        """Note a new checkpoint, and delete those that it replaces."""
        finalist = TrialSpec.from_tune(trial.config).repeat_of
        self._repeat_of[str(trial)] = None if finalist is None else trial_name(finalist)
        kept = [*self._running.get(str(trial), []), self._ranked(checkpoint.path)]
        self._running[str(trial)] = self._split(kept, {_best(kept), *kept[-self._recent :]})
        self._delete(trials)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Keep the trial's best checkpoint if the trial is among the best ended ones."""
        if not self._requeue.has(trial.trial_id):
            result = last_result(trial)
            self._end(str(trial), succeeded=result is None or result.failure is None)
        for name in self._ended_names() & self._running.keys():
            self._end(name, succeeded=True)
        self._delete(trials)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """As for a trial that ended by itself, but ranked after all of those."""
        if not self._requeue.has(trial.trial_id):
            self._end(str(trial), succeeded=False)
        self._delete(trials)

    def finish(self) -> None:
        """Count running trials as ended. Do not call it if they will be resumed."""
        for name in list(self._running):
            self._end(name, succeeded=True)
        self._delete([])

    def _ranked(self, path: str) -> RankedCheckpoint:
        value = self._checkpoints.metrics(path)[self._objective.metric]
        return RankedCheckpoint(self._objective.utility(value), path)

    def _whole(self, paths: Sequence[str]) -> list[RankedCheckpoint]:
        """A trial's checkpoints, oldest first. Those that were not written to the end are deleted."""
        whole = []
        for path in paths:
            if self._checkpoints.is_whole(path):
                whole.append(self._ranked(path))
            else:
                self._delete_checkpoint(path)
        return whole

    def _end(self, name: str, *, succeeded: bool) -> None:
        if not self._running.get(name):
            return
        kept, finalist = self._running.pop(name), self._repeat_of.get(name)
        ended, keep = self._ended, self._keep if finalist is None else 1
        ended[name] = EndedTrial(succeeded, _best(kept))
        self._split(kept, {_best(kept)})
        # Ranked as in the leaderboard: of equal trials, the one that was proposed first comes first.
        rivals = [each for each in ended if self._repeat_of.get(each) == finalist]
        rivals.sort(key=lambda each: (not ended[each].succeeded, -ended[each].best.utility, each))
        self._unneeded += [ended.pop(each).best for each in rivals[keep:]]

    def _split(self, kept: list[RankedCheckpoint], needed: set[RankedCheckpoint]) -> list[RankedCheckpoint]:
        """The needed checkpoints; the others are marked for deletion."""
        self._unneeded += [checkpoint for checkpoint in kept if checkpoint not in needed]
        return [checkpoint for checkpoint in kept if checkpoint in needed]

    def _delete(self, trials: list[Any]) -> None:
        """Delete the marked checkpoints, except those that a trial would restart from."""
        pinned = restart_paths(trials)
        for checkpoint in self._unneeded:
            if checkpoint.path not in pinned:
                self._delete_checkpoint(checkpoint.path)
        self._unneeded = [checkpoint for checkpoint in self._unneeded if checkpoint.path in pinned]


def _best(kept: list[RankedCheckpoint]) -> RankedCheckpoint:
    return max(kept, key=lambda checkpoint: checkpoint.utility)  # the first of equals, as the study counts
