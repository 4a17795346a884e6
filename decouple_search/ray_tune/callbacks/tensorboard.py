"""TensorBoard while a search runs: one run per trial, with its hyperparameters from the start.

Tune's own logger writes hyperparameters only when a trial has ended, so the HParams tab would stay empty until then.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune import Callback

from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import from_tune
from decouple_search.results.tensorboard_run import TensorBoardRun

SCREEN = "screen"
"""The folder of the runs of screened trials."""


class TensorBoardRuns(Callback):
    """Writes `<folder>/<trial>/` for each trial, and `<folder>/screen/<trial>/` for each screened one.

    Args:
        folder: the experiment's `tensorboard/`.
        searched: the dotted keys that a run shows as hyperparameters.
        metric: the objective that the HParams tab shows.
    """

    def __init__(self, folder: Path, searched: tuple[str, ...], metric: str) -> None:
        self._folder, self._searched, self._metric = folder, searched, metric
        self._runs: dict[str, TensorBoardRun] = {}  # by Tune's id

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open the run and write its hyperparameters."""
        if trial.trial_id in self._runs:
            return  # the trial restarts after a loss
        spec = TrialSpec.from_tune(trial.config)
        folder, config = self._folder / SCREEN if spec.screened else self._folder, spec.config
        run = self._runs[trial.trial_id] = TensorBoardRun(folder / str(trial))
        run.hyperparameters({key: config[key] for key in config if key in self._searched}, self._metric, str(trial))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Write an epoch's measures."""
        epoch_result, run = from_tune(result), self._runs.get(trial.trial_id)
        if run is not None and epoch_result.failure is None:
            run.epoch(epoch_result.epoch, epoch_result.measures)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the run."""
        if (run := self._runs.pop(trial.trial_id, None)) is not None:
            run.close()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Close the runs of interrupted trials."""
        while self._runs:
            self._runs.popitem()[1].close()
