"""TensorBoard: a run a trial, with its hyperparameters from the start and a scalar a measure and epoch.

Tune's own logger writes hyperparameters only when a trial has ended, so the HParams tab stays empty meanwhile.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray.tune import Callback
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hp  # its public name, api, needs TensorFlow
from tensorboard.summary.writer.event_file_writer import EventFileWriter

# Measures that a run shows, grouped as TensorBoard groups them.
GROUPS = {"val_": "val", "train_": "train"}


class TensorBoardRuns(Callback):
    """Writes `<folder>/<trial>/` while the search goes on.

    Args:
        folder: the experiment's `tensorboard/`.
        searched: the dotted names that a run shows as hyperparameters.
        metric: the objective, shown in the HParams tab.
    """

    def __init__(self, folder: Path, searched: tuple[str, ...], metric: str) -> None:
        self._folder, self._searched = folder, searched
        self._objective = hp.Metric(_tag(metric))
        self._writers: dict[str, EventFileWriter] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open the run and write its hyperparameters."""
        if trial.trial_id in self._writers:
            return  # started again after a worker was lost
        writer = EventFileWriter(str(self._folder / str(trial)))
        self._writers[trial.trial_id] = writer
        values = {key: value for key, value in trial.config["config"].items() if key in self._searched}
        names = [hp.HParam(key) for key in values]
        self._write(writer, hp.hparams_config_pb(names, [self._objective]))
        self._write(writer, hp.hparams_pb(values, trial_id=str(trial)))
        writer.flush()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Write an epoch's measures."""
        if (writer := self._writers.get(trial.trial_id)) is None or "failed" in result:
            return
        shown = [name for name in result if _is_measure(name) and isinstance(result[name], (int, float))]
        values = [Summary.Value(tag=_tag(name), simple_value=result[name]) for name in shown]
        self._write(writer, Summary(value=values), step=result["epoch"])
        writer.flush()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the run."""
        if (writer := self._writers.pop(trial.trial_id, None)) is not None:
            writer.close()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Close the runs of trials that were interrupted."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _write(self, writer: EventFileWriter, summary: Summary, step: int = 0) -> None:
        writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _is_measure(name: str) -> bool:
    return name.startswith(tuple(GROUPS)) or name in ("lr", "images_per_second")


def _tag(name: str) -> str:
    for prefix, group in GROUPS.items():
        if name.startswith(prefix):
            return f"{group}/{name.removeprefix(prefix)}"
    return f"train/{name}"
