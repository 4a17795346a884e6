"""Which checkpoints of a search stay on disk: those that something may still need, and the best few."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from ray.tune import Callback


class _Kept(NamedTuple):
    value: float
    """The objective at the checkpoint, larger is better."""
    folder: Path


class Retention(Callback):
    """Deletes checkpoints as soon as nothing can need them any more.

    A running trial keeps its best checkpoint, which a search may export, and its newest ones, from which it or
    another goes on. Of the ended trials the best `keep` keep their best one; failed ones count last.

    Args:
        keep: ended trials whose best checkpoint stays.
        metric: the objective.
        mode: max or min.
        recent: newest checkpoints that a running trial keeps.
        at_end: whether ended trials keep all until the search has ended, as another trial may go on from them.
    """

    def __init__(self, keep: int, metric: str, mode: str, *, recent: int = 1, at_end: bool = False) -> None:
        self._keep, self._metric, self._sign = keep, metric, 1 if mode == "max" else -1
        self._recent, self._at_end = recent, at_end
        self._running: dict[str, list[_Kept]] = {}  # by trial, oldest first
        self._ended: dict[str, tuple[bool, list[_Kept]]] = {}  # by trial: whether it went well, and its checkpoints

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        """Note a new checkpoint, and delete what it replaces."""
        folder = Path(checkpoint.path)
        value = self._sign * json.loads((folder / "metrics.json").read_text())[self._metric]
        kept = [*self._running.get(trial.trial_id, []), _Kept(value, folder)]
        needed = {_best(kept), *kept[-self._recent :]}
        self._running[trial.trial_id] = [one for one in kept if one in needed]
        _delete(one for one in kept if one not in needed)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Keep the trial's best checkpoint if it is among the best ended ones."""
        self._end(trial, well="failed" not in (trial.last_result or {}))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """As for a trial that ended by itself, but after all of those."""
        self._end(trial, well=False)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Count interrupted trials as ended."""
        self._at_end = False
        for trial_id in list(self._running):
            self._ended[trial_id] = (True, self._running.pop(trial_id))
        self._trim()

    def _end(self, trial: Any, *, well: bool) -> None:
        if trial.trial_id in self._running:
            self._ended[trial.trial_id] = (well, self._running.pop(trial.trial_id))
        if not self._at_end:
            self._trim()

    def _trim(self) -> None:
        """Delete all but the best checkpoint of each of the best ended trials."""
        ranked = sorted(self._ended.items(), key=lambda item: (item[1][0], _best(item[1][1]).value), reverse=True)
        for place, (trial_id, (well, kept)) in enumerate(ranked):
            best = _best(kept)
            _delete(one for one in kept if place >= self._keep or one != best)
            self._ended[trial_id] = (well, [best])
            if place >= self._keep:
                del self._ended[trial_id]


def _best(kept: list[_Kept]) -> _Kept:
    return max(kept, key=lambda one: one.value)  # the first of equals, as the study counts it


def _delete(unneeded: Any) -> None:
    for one in unneeded:
        shutil.rmtree(one.folder)
