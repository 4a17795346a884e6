"""The Tune Trainable of a trial: a thin client of its slot's gang. Its process imports no torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import ray
from pyarrow.fs import LocalFileSystem
from ray import tune

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.gang.errors import FAILURES, GangHungError, message_of
from decouple_search.gang.gang import Gang
from decouple_search.gang.worker import Files
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import to_tune
from decouple_search.storage.checkpoints import read_files
from decouplenet.checkpoint_files import METRICS
from decouplenet.config import Config, ScalingConfig
from decouplenet.dotted_keys import nest
from decouplenet.errors import InputError

_T = TypeVar("_T")


class DecoupleTrial(tune.Trainable):
    """Trains a trial's configuration, one epoch per step, on a gang that outlives the trial.

    A configuration that cannot be trained (NaN, out of memory, weights that do not fit) ends its trial with a failure
    in the result, not with an exception. So the gang lives on, and nothing is tried twice in vain. A lost or hung
    worker, and any other error in a worker, is an exception, and Tune restarts the trial on a new gang.
    """

    _gang: Gang | None
    _spec: TrialSpec
    _scaling: ScalingConfig
    _epoch: int
    _best: float | None
    _failure: str | None
    _missing_folder: str | None
    _filesystem: Any
    _latency: float | None
    _lineage: tuple[str, ...]
    _extensions: bytes

    def setup(
        self,
        config: dict[str, Any],
        filesystem: Any = None,
        shared_file: str | None = None,
        extensions: bytes = b"",
    ) -> None:
        """Start the slot's gang, and the first configuration on it.

        Args:
            config: the first trial's specification.
            filesystem: pyarrow's file system that checkpoints are in; None for this machine's.
            shared_file: a file that every machine must see; None where machines share no disk.
            extensions: the packed extensions of the driver.
        """
        self._gang, self._filesystem = None, filesystem or LocalFileSystem()
        self._extensions, self._missing_folder = extensions, None
        if shared_file and not Path(shared_file).is_file():
            self._missing_folder = f"'{shared_file}' is not there on {ray.util.get_node_ip_address()}"
        self._start(TrialSpec.from_tune(config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next trial's configuration on the same gang."""
        self._start(TrialSpec.from_tune(new_config))
        return True

    def step(self) -> dict[str, Any]:
        """Train and evaluate an epoch."""
        result = self._trained_epoch() if self._failure is None else None
        if result is None:
            failed = EpochResult(epoch=self._epoch, failure=self._failure, missing_folder=self._missing_folder)
            return to_tune(failed, done=True)
        self._epoch = result.epoch
        objective = self._spec.objectives[0]
        value = result.measures[objective.metric]
        improved = objective.better(value, than=self._best)
        self._best = value if improved else self._best
        done = self._epoch >= self._spec.config["train.epochs"]
        # A checkpoint of each epoch, so that a lost machine costs at most one; the last only if it is the best.
        # A screened trial takes seconds, and is started over.
        save = (improved or not done) and not self._spec.screened
        reported = replace(result, lineage=self._lineage, screened=self._spec.screened)
        return to_tune(reported, save=save, done=done)

    def _trained_epoch(self) -> EpochResult | None:
        result = self._guarded(lambda gang: gang.train_epoch())
        if result is None or "latency_ms" not in [objective.metric for objective in self._spec.objectives]:
            return result
        if self._latency is None:  # it is the same in every epoch
            self._latency = self._guarded(lambda gang: gang.latency())
        if self._latency is None:
            return None
        return replace(result, measures={**result.measures, "latency_ms": self._latency})

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the gang's checkpoint into a folder, with the trial's name and lineage in its metrics.json."""
        notes = {"trial": self.trial_name, "lineage": list(self._lineage)}
        for name, content in self._warm_gang().checkpoint(notes).items():
            (Path(checkpoint_dir) / name).write_bytes(content)

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
        """Resume from a checkpoint's folder. The lineage notes a checkpoint of another trial, which pbt gives."""
        if self._failure is None:
            self._resume_from({file.name: file.read_bytes() for file in Path(checkpoint_dir).iterdir()})

    def cleanup(self) -> None:
        """End the gang with its slot."""
        if self._gang is not None:
            self._gang.stop()
            self._gang = None

    def _start(self, spec: TrialSpec) -> None:
        self._spec, self._epoch, self._best = spec, 0, None
        self._latency, self._lineage = None, ()
        self._failure = self._missing_folder or spec.given_up
        config = self._placed_config()
        if config is None:
            return
        self._scaling = config.scaling
        if not self._started(config):
            self.cleanup()
            self._guarded(lambda gang: gang.start(config))
        # Retention deletes this checkpoint once the trial has a newer one. Tune then restores the newer one.
        if spec.checkpoint and self._failure is None and (files := read_files(self._filesystem, spec.checkpoint)):
            self._resume_from(files)

    def _placed_config(self) -> Config | None:
        """The configuration, with the number of workers that the placement group has; None if it must not be trained.

        There is one bundle per worker, and there are fewer where machines were lost.
        """
        if self._failure is not None:
            return None
        keys, placement_group = dict(self._spec.config), ray.util.get_current_placement_group()
        if placement_group is not None:
            keys["scaling.workers_per_trial"] = placement_group.bundle_count
            keys["scaling.min_workers_per_trial"] = None
        try:
            return Config.from_dict(nest(keys))
        except InputError as error:
            self._failure = str(error)
            return None

    def _started(self, config: Config) -> bool:
        """Start a configuration; False if the gang is lost.

        An exception would make Tune give the trial up, because it does not run yet. A lost gang costs only its warmth.
        """
        try:
            self._guarded(lambda gang: gang.start(config))
        except (ray.exceptions.RayError, GangHungError) as error:
            print(error, file=sys.stderr)  # noqa: T201 - into Ray's log of this process
            return False
        return True

    def _resume_from(self, files: Files) -> None:
        self._guarded(lambda gang: gang.restore(files))
        if self._failure is not None:
            return
        metrics = json.loads(files[METRICS])
        self._epoch, self._best = metrics["epoch"], metrics[self._spec.objectives[0].metric]
        self._lineage = tuple(metrics["lineage"])
        if metrics["trial"] != self.trial_name:
            self._best = None  # so the first epoch is saved, and the donor's checkpoint may be deleted
            self._lineage = (*self._lineage, f"{metrics['trial']} epoch {metrics['epoch']}")

    def _warm_gang(self) -> Gang:
        """The slot's gang; a new gang in this trial's placement group if there is none."""
        if self._gang is None:
            self._gang = Gang(self._scaling, ray.util.get_current_placement_group(), self._extensions)
        return self._gang

    def _guarded(self, call: Callable[[Gang], _T]) -> _T | None:
        """Call the gang. An error of the configuration becomes the trial's failure, and the result is None."""
        try:
            return call(self._warm_gang())
        except FAILURES as error:
            self._failure = message_of(error)
            if self._gang is not None and self._gang.broken:
                self.cleanup()
        return None
