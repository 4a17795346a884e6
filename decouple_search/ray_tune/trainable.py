"""The Tune Trainable of a trial: a thin client of its slot's gang."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import ray
from pyarrow.fs import LocalFileSystem
from ray import tune
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from decouple_search.gang.gang import FAILURES, Gang, GangHungError, cause_of
from decouple_search.gang.worker import Files
from decouple_search.storage.checkpoints import read_files
from decouplenet.config import ScalingConfig, nest

GIVEN_UP = "given_up"
"""Key of a trial's config: why it is not to be trained."""
UNSHARED = "unshared"
"""Key of a trial's result: that its machine does not share the search's folder, and which one that is."""

_T = TypeVar("_T")


class DecoupleTrial(tune.Trainable):
    """Trains `config["config"]` (dotted keys) an epoch a step, on a gang that outlives the trial.

    A configuration that cannot be trained (NaN, out of memory, weights that do not fit) ends its trial with
    `failed` in the result instead of an exception, so the gang lives on and nothing is retried in vain. A lost or
    hung worker and any other error in one are exceptions, and Tune starts the trial again on a new gang.
    """

    _gang: Gang | None
    _epoch: int
    _best: float
    _failure: str | None
    _unshared: str | None
    _system: Any
    _latency: float | None
    _lineage: list[str]

    def setup(self, config: dict[str, Any], system: Any = None, shared: str | None = None) -> None:
        """Start the slot's gang and the first configuration on it.

        Args:
            config: the first trial's.
            system: pyarrow's file system that checkpoints are in; None for this machine's.
            shared: a file that all machines must see; None where they need not.
        """
        self._gang, self._system = None, system or LocalFileSystem()
        self._unshared = None
        if shared and not Path(shared).is_file():
            self._unshared = f"'{shared}' is not there on {ray.util.get_node_ip_address()}"
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial's configuration on the same gang."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train and evaluate one epoch."""
        measured = self._guarded(lambda gang: gang.train_epoch()) if self._failure is None else None
        if measured is not None and self._timed and self._latency is None:  # it is the same in every epoch
            self._latency = self._guarded(lambda gang: gang.latency())
            measured = None if self._latency is None else measured
        if measured is None:
            why = {UNSHARED: self._unshared} if self._unshared else {}
            return {"epoch": self._epoch, "failed": self._failure, DONE: True} | why
        if self._timed:
            measured["latency_ms"] = self._latency
        self._epoch = measured["epoch"]
        value = self._sign * measured[self._metric]
        improved = value > self._best
        self._best = max(value, self._best)
        scalars = {name: number for name, number in measured.items() if isinstance(number, (int, float))}
        done = self._epoch >= self._epochs
        # Each epoch, as a lost machine must not cost more than one; the last is needed if it is the best.
        told = {"lineage": self._lineage, SHOULD_CHECKPOINT: improved or not done, DONE: done}
        return scalars | told

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the gang's checkpoint into a folder, with the trial's name and lineage in its metrics.json."""
        notes = {"trial": self.trial_name, "lineage": self._lineage}
        for name, content in self._warm_gang().checkpoint(notes).items():
            (Path(checkpoint_dir) / name).write_bytes(content)

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
        """Go on from a checkpoint's folder; one of another trial, which PBT gives, goes into the lineage."""
        if self._failure is None:
            self._go_on_from({file.name: file.read_bytes() for file in Path(checkpoint_dir).iterdir()})

    def cleanup(self) -> None:
        """End the gang with its slot."""
        if self._gang is not None:
            self._gang.stop()
            self._gang = None

    def _begin(self, config: dict[str, Any]) -> None:
        (self._metric, mode), *others = config["objectives"]
        self._sign = 1 if mode == "max" else -1
        self._timed, self._latency = "latency_ms" in (self._metric, *(name for name, _ in others)), None
        self._epoch = 0
        self._best = -math.inf
        self._lineage = []
        nested = nest(config["config"])
        self._epochs = nested["train"]["epochs"]
        self._failure = self._unshared or config.get(GIVEN_UP)
        placed = ray.util.get_current_placement_group()
        if placed is not None:  # a bundle a worker; fewer where machines were lost
            nested["scaling"] |= {"workers_per_trial": placed.bundle_count, "min_workers_per_trial": None}
        self._scaling = ScalingConfig(**nested["scaling"])
        if self._failure is None and not self._started(nested):
            self.cleanup()
            self._guarded(lambda gang: gang.start(nested))
        # Once it has a newer one, retention deletes it, and Tune gives the newer one.
        since = config.get("since")
        if since and self._failure is None and (files := read_files(self._system, since)):
            self._go_on_from(files)

    def _started(self, config: dict[str, Any]) -> bool:
        """Begin a configuration; False if the gang is lost.

        Tune would give the trial up, as it does not run yet, while nothing is lost with the gang but its warmth.
        """
        try:
            self._guarded(lambda gang: gang.start(config))
        except (ray.exceptions.RayError, GangHungError) as error:
            print(error, file=sys.stderr)  # noqa: T201 - in Ray's log of this process
            return False
        return True

    def _go_on_from(self, files: Files) -> None:
        self._guarded(lambda gang: gang.restore(files))
        if self._failure is not None:
            return
        metrics = json.loads(files["metrics.json"])
        self._epoch, self._best = metrics["epoch"], self._sign * metrics[self._metric]
        self._lineage = metrics["lineage"]
        if metrics["trial"] != self.trial_name:
            self._best = -math.inf  # its first epoch is worth a checkpoint of its own, so that the donor's may go
            self._lineage = [*self._lineage, f"{metrics['trial']} epoch {metrics['epoch']}"]

    def _warm_gang(self) -> Gang:
        """The slot's gang, made if there is none, in the placement group that Tune started this trial in."""
        if self._gang is None:
            self._gang = Gang(self._scaling, ray.util.get_current_placement_group())
        return self._gang

    def _guarded(self, call: Callable[[Gang], _T]) -> _T | None:
        """Call the gang; an error in the training becomes the trial's failure, and None comes back."""
        try:
            return call(self._warm_gang())
        except FAILURES as error:
            self._failure = cause_of(error)
            if self._gang is not None and self._gang.broken:
                self.cleanup()
        return None
