"""Tune callback: the leaderboard, the best config and the time spent are kept up to date while a search runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
from ray.tune import Callback

from decouple_search.ray_tune.callbacks.utilisation import Clock
from decouple_search.results.tables import write_tables
from decouple_search.space.space import Space
from decouple_search.study.record import note
from decouplenet.command_line import print_line
from decouplenet.config import Config


class LiveTables(Callback):
    """Rewrites the tables whenever a trial has ended, and notes the time and the checkpoints in the study.

    Args:
        experiment: the folder of the search.
        study: its record.
        space: what is searched.
        config: the base configuration.
        clock: notes the time.
    """

    def __init__(self, experiment: Path, study: optuna.Study, space: Space, config: Config, clock: Clock) -> None:
        self._experiment, self._study, self._space, self._config = experiment, study, space, config
        self._clock = clock

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        """Note the time spent."""
        self._clock.note()

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        """Note the newest checkpoint."""
        note(self._study, int(str(trial)), "checkpoint", checkpoint.path)  # its config may be another's

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write the tables."""
        self._write()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write the tables."""
        self._write()

    def _write(self) -> None:
        self._clock.note()
        try:
            write_tables(self._experiment, self._study, self._space, self._config)
        except OSError as error:  # Tune would take it for the trial's; the end of the search writes them again
            print_line(f"warning: the leaderboard was not written ({error.strerror}: {error.filename})")
