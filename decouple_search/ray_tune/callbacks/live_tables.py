"""The leaderboard, the best config and the time spent, kept up to date while a search runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from ray.tune import Callback

from decouple_search.ray_tune.callbacks.utilisation import SearchClock
from decouple_search.results.tables import write_tables
from decouple_search.space.space import Space
from decouple_search.study.record import Incumbent, StudyRecord
from decouple_search.study.trial_log import note_checkpoint
from decouplenet.command_line import print_line
from decouplenet.config import Config


class LiveTables(Callback):
    """Rewrites the tables whenever a trial has ended, and records time, checkpoints and the incumbent in the study.

    Args:
        experiment: the search's folder on this machine.
        study: the search's study.
        space: the searched space.
        config: the base configuration.
        clock: records the time.
        incumbent: gives the trial that is expected to be the best.
    """

    def __init__(
        self,
        experiment: Path,
        study: optuna.Study,
        space: Space,
        config: Config,
        clock: SearchClock,
        incumbent: Callable[[], Incumbent | None],
    ) -> None:
        self._experiment, self._study, self._space, self._config = experiment, study, space, config
        self._clock, self._incumbent = clock, incumbent

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        """Record the time."""
        self._clock.note()

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        """Record the newest checkpoint. The trial's name gives its number; its config may be another trial's."""
        note_checkpoint(self._study, int(str(trial)), checkpoint.path)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write the tables."""
        self._write()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write the tables."""
        self._write()

    def _write(self) -> None:
        self._clock.note()
        StudyRecord(self._study).incumbent = self._incumbent()
        try:
            write_tables(self._experiment, self._study, self._space, self._config)
        except OSError as error:  # Tune would blame the trial; the end of the search writes the tables too
            print_line(f"warning: the leaderboard was not written ({error.strerror}: {error.filename})")
