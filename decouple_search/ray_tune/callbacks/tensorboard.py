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


class Run:
    """One line in TensorBoard: a folder with event files.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = EventFileWriter(str(folder))

    def hyperparameters(self, values: dict[str, Any], metric: str, name: str) -> None:
        """Show parameters by their dotted names, and the objective, in the HParams tab."""
        names = [hp.HParam(key) for key in values]
        self._write(hp.hparams_config_pb(names, [hp.Metric(_tag(metric))]))
        self._write(hp.hparams_pb(values, trial_id=name))
        self._writer.flush()

    def epoch(self, measured: dict[str, Any]) -> None:
        """Write the measures of an epoch, whose number is `epoch` among them."""
        shown = [name for name, value in measured.items() if _is_measure(name) and isinstance(value, (int, float))]
        values = [Summary.Value(tag=_tag(name), simple_value=measured[name]) for name in shown]
        self._write(Summary(value=values), step=measured["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _write(self, summary: Summary, step: int = 0) -> None:
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


class TensorBoardRuns(Callback):
    """Writes `<folder>/<trial>/` while the search goes on.

    Args:
        folder: the experiment's `tensorboard/`.
        searched: the dotted names that a run shows as hyperparameters.
        metric: the objective, shown in the HParams tab.
    """

    def __init__(self, folder: Path, searched: tuple[str, ...], metric: str) -> None:
        self._folder, self._searched, self._metric = folder, searched, metric
        self._runs: dict[str, Run] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open the run and write its hyperparameters."""
        if trial.trial_id in self._runs:
            return  # started again after a worker was lost
        run = self._runs[trial.trial_id] = Run(self._folder / str(trial))
        values = {key: value for key, value in trial.config["config"].items() if key in self._searched}
        run.hyperparameters(values, self._metric, str(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Write an epoch's measures."""
        if (run := self._runs.get(trial.trial_id)) is not None and "failed" not in result:
            run.epoch(result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the run."""
        if (run := self._runs.pop(trial.trial_id, None)) is not None:
            run.close()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Close the runs of trials that were interrupted."""
        while self._runs:
            self._runs.popitem()[1].close()


def _is_measure(name: str) -> bool:
    return name.startswith(tuple(GROUPS)) or name in ("lr", "images_per_second")


def _tag(name: str) -> str:
    for prefix, group in GROUPS.items():
        if name.startswith(prefix):
            return f"{group}/{name.removeprefix(prefix)}"
    return f"train/{name}"
