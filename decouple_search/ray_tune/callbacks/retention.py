"""Which checkpoints of a search stay on disk: those that something may still need, and the best few."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ray.tune import Callback

from decouple_search.storage.checkpoints import Checkpoints


class Kept(NamedTuple):
    """A checkpoint on disk."""

    value: float
    """The objective at the checkpoint, larger is better."""
    place: str
    """Its path, as `Checkpoints` names it."""


class Retention(Callback):
    """Deletes checkpoints as soon as nothing can need them any more.

    A running trial keeps its best checkpoint, which a search may export, and its newest ones, from which it or
    another goes on. Of the ended trials the best `keep` keep their best one; failed ones count last. What a trial
    would be started again from stays, whoever wrote it.

    Args:
        checkpoints: those of the search.
        keep: ended trials whose best checkpoint stays.
        metric: the objective.
        mode: max or min.
        recent: newest checkpoints that a running trial keeps.
        found: the trials of an earlier run by name, and whether each has ended, and well.
        delete: how a checkpoint is deleted; by default at once.
        again: Tune's ids of trials that ended before they had started, and go on under another.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        keep: int,
        metric: str,
        mode: str,
        *,
        recent: int = 1,
        found: Mapping[str, tuple[bool, bool]] | None = None,
        delete: Callable[[str], None] | None = None,
        again: Collection[str] = (),
    ) -> None:
        self._again = again
        self._checkpoints, self._delete_one = checkpoints, delete or checkpoints.delete
        self._keep, self._metric, self._sign = keep, metric, 1 if mode == "max" else -1
        self._recent = recent
        self._running: dict[str, list[Kept]] = {}  # by trial, oldest first
        self._ended: dict[str, tuple[bool, Kept]] = {}  # by trial: whether it went well, and its best checkpoint
        self._unneeded: list[Kept] = []  # but for trials that would be started again from it
        there = checkpoints.all() if found else {}
        for name, (ended, well) in (found or {}).items():
            self._running[name] = self._whole(there.get(name, []))
            if ended:
                self._end(name, well=well)

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        """Note a new checkpoint, and delete what it replaces."""
        kept = [*self._running.get(str(trial), []), self._kept(checkpoint.path)]
        self._running[str(trial)] = self._split(kept, {_best(kept), *kept[-self._recent :]})
        self._delete(trials)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Keep the trial's best checkpoint if it is among the best ended ones."""
        if trial.trial_id not in self._again:
            self._end(str(trial), well="failed" not in (trial.last_result or {}))
        self._delete(trials)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """As for a trial that ended by itself, but after all of those."""
        if trial.trial_id not in self._again:
            self._end(str(trial), well=False)
        self._delete(trials)

    def finish(self) -> None:
        """Count trials that the budget ended as ended; not to be called where they go on another time."""
        for name in list(self._running):
            self._end(name, well=True)
        self._delete([])

    def _kept(self, place: str) -> Kept:
        return Kept(self._sign * self._checkpoints.metrics(place)[self._metric], place)

    def _whole(self, places: Sequence[str]) -> list[Kept]:
        """A trial's checkpoints, oldest first; what was not written to the end is deleted."""
        whole = []
        for place in places:
            if self._checkpoints.is_whole(place):
                whole.append(self._kept(place))
            else:
                self._delete_one(place)
        return whole

    def _end(self, name: str, *, well: bool) -> None:
        if not self._running.get(name):
            return
        kept = self._running.pop(name)
        self._ended[name] = (well, _best(kept))
        self._split(kept, {_best(kept)})
        # As the leaderboard ranks them: of equals the one that was proposed first.
        ranked = sorted(self._ended, key=lambda one: (not self._ended[one][0], -self._ended[one][1].value, one))
        self._unneeded += [self._ended.pop(one)[1] for one in ranked[self._keep :]]

    def _split(self, kept: list[Kept], needed: set[Kept]) -> list[Kept]:
        """Those that are needed; the others are marked for deletion."""
        self._unneeded += [one for one in kept if one not in needed]
        return [one for one in kept if one in needed]

    def _delete(self, trials: list[Any]) -> None:
        """Delete what is marked, but for what a trial that has not ended would be started again from."""
        going = [trial.checkpoint for trial in trials if not trial.is_finished()]
        pinned = {checkpoint.path for checkpoint in going if checkpoint}
        for one in self._unneeded:
            if one.place not in pinned:
                self._delete_one(one.place)
        self._unneeded = [one for one in self._unneeded if one.place in pinned]


def _best(kept: list[Kept]) -> Kept:
    return max(kept, key=lambda one: one.value)  # the first of equals, as the study counts it
