"""Which checkpoints of a search stay on disk: those that something may still need, and the best few."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ray.tune import Callback

from decouplenet.checkpoint import is_whole


class Kept(NamedTuple):
    """A checkpoint on disk."""

    value: float
    """The objective at the checkpoint, larger is better."""
    folder: Path


class Retention(Callback):
    """Deletes checkpoints as soon as nothing can need them any more.

    A running trial keeps its best checkpoint, which a search may export, and its newest ones, from which it or
    another goes on. Of the ended trials the best `keep` keep their best one; failed ones count last. What a trial
    would be started again from stays, whoever wrote it.

    Args:
        keep: ended trials whose best checkpoint stays.
        metric: the objective.
        mode: max or min.
        recent: newest checkpoints that a running trial keeps.
        found: folders of the trials of an earlier run by name, and whether the trial has ended, and well.
    """

    def __init__(
        self,
        keep: int,
        metric: str,
        mode: str,
        *,
        recent: int = 1,
        found: Mapping[Path, tuple[bool, bool]] | None = None,
    ) -> None:
        self._keep, self._metric, self._sign = keep, metric, 1 if mode == "max" else -1
        self._recent = recent
        self._running: dict[str, list[Kept]] = {}  # by trial, oldest first
        self._ended: dict[str, tuple[bool, Kept]] = {}  # by trial: whether it went well, and its best checkpoint
        self._unneeded: list[Kept] = []  # but for trials that would be started again from it
        for folder, (ended, well) in (found or {}).items():
            self._running[folder.name] = self._whole(folder)
            if ended:
                self._end(folder.name, well=well)

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        """Note a new checkpoint, and delete what it replaces."""
        kept = [*self._running.get(str(trial), []), self._kept(Path(checkpoint.path))]
        self._running[str(trial)] = self._split(kept, {_best(kept), *kept[-self._recent :]})
        self._delete(trials)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Keep the trial's best checkpoint if it is among the best ended ones."""
        self._end(str(trial), well="failed" not in (trial.last_result or {}))
        self._delete(trials)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """As for a trial that ended by itself, but after all of those."""
        self._end(str(trial), well=False)
        self._delete(trials)

    def finish(self) -> None:
        """Count trials that the budget ended as ended; not to be called where they go on another time."""
        for name in list(self._running):
            self._end(name, well=True)
        self._delete([])

    def _kept(self, folder: Path) -> Kept:
        return Kept(self._sign * json.loads((folder / "metrics.json").read_text())[self._metric], folder)

    def _whole(self, trial: Path) -> list[Kept]:
        """A trial's checkpoints on disk, oldest first; what was not written to the end is deleted."""
        whole = []
        for folder in sorted(trial.glob("checkpoint_*"), key=written):
            if is_whole(folder):
                whole.append(self._kept(folder))
            else:
                shutil.rmtree(folder, ignore_errors=True)
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
        pinned = {Path(checkpoint.path) for checkpoint in going if checkpoint}
        for one in self._unneeded:
            if one.folder not in pinned:
                shutil.rmtree(one.folder, ignore_errors=True)  # Tune would take an error for the trial's
        self._unneeded = [one for one in self._unneeded if one.folder in pinned]


def written(checkpoint: Path) -> tuple[int, str]:
    """By age: those of earlier runs first, and by number within a run."""
    run, _, number = checkpoint.name.removeprefix("checkpoint_").rpartition("-")
    return (int(run) if run else 10**9), number


def _best(kept: list[Kept]) -> Kept:
    return max(kept, key=lambda one: one.value)  # the first of equals, as the study counts it
