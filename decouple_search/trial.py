"""The Tune Trainable of a trial: a thin client of its slot's gang."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from decouple_search.gang import Gang, read_files
from decouplenet.config import nest
from decouplenet.errors import InputError, TrainingFailed


class DecoupleTrial(tune.Trainable):
    """Trains `config["config"]` (dotted keys) an epoch a step, on a gang that outlives the trial.

    A configuration that cannot be trained (NaN, out of memory, weights that do not fit) ends its trial with
    `failed` in the result instead of an exception, so the gang lives on and nothing is retried in vain.
    """

    _gang: Gang
    _epoch: int
    _best: float
    _failure: str | None

    def setup(self, config: dict[str, Any]) -> None:
        """Start the slot's gang and the first configuration on it."""
        scaling = nest(config["config"])["scaling"]
        self._gang = Gang(
            scaling["workers_per_trial"],
            scaling["cpus_per_worker"],
            scaling["gpus_per_worker"],
            ray.util.get_current_placement_group(),
        )
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial's configuration on the same gang."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train and evaluate one epoch."""
        if self._failure is None:
            try:
                measured = self._gang.train_epoch()
            except (TrainingFailed, InputError) as error:
                self._failure = _first_line(error)
        if self._failure is not None:
            return {"epoch": self._epoch, "failed": self._failure, DONE: True}
        self._epoch = measured["epoch"]
        value = self._sign * measured[self._metric]
        improved = value > self._best
        self._best = max(value, self._best)
        scalars = {name: number for name, number in measured.items() if isinstance(number, (int, float))}
        return scalars | {SHOULD_CHECKPOINT: improved, DONE: self._epoch >= self._epochs}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the gang's checkpoint into a folder."""
        for name, content in self._gang.checkpoint().items():
            (Path(checkpoint_dir) / name).write_bytes(content)

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
        """Go on from a checkpoint's folder."""
        import json

        files = read_files(checkpoint_dir)
        self._gang.restore(files)
        metrics = json.loads(files["metrics.json"])
        self._epoch, self._best = metrics["epoch"], self._sign * metrics[self._metric]

    def cleanup(self) -> None:
        """End the gang with its slot."""
        self._gang.stop()

    def _begin(self, config: dict[str, Any]) -> None:
        self._metric, self._sign = config["metric"], 1 if config["mode"] == "max" else -1
        self._epoch = 0
        self._best = -math.inf
        nested = nest(config["config"])
        self._epochs = nested["train"]["epochs"]
        self._failure = None
        try:
            self._gang.start(nested)
        except (TrainingFailed, InputError) as error:
            self._failure = _first_line(error)


def _first_line(error: Exception) -> str:
    """What the user reads: the cause's own words, without Ray's account of where it was raised."""
    cause = getattr(error, "cause", None) or error
    return str(cause).partition("\n")[0]
