"""The files of a search that has ended or was interrupted: tables, summary, best checkpoint and page."""

from __future__ import annotations

from dataclasses import dataclass

import optuna

from decouple_search.results.best_checkpoint import export_best
from decouple_search.results.html_page import write_page
from decouple_search.results.tables import SUMMARY, Summary, write_tables
from decouple_search.space.space import Space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.folder import Folder
from decouple_search.study.record import StudyRecord, ended_trials, repeat_trials, screened_trials
from decouplenet.command_line import print_line
from decouplenet.config import Config
from decouplenet.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What the files of an ended search are written from."""

    folder: Folder
    """The search's folder."""
    study: optuna.Study
    """Its study."""
    space: Space
    """The searched space."""
    config: Config
    """The base configuration."""
    checkpoints: Checkpoints
    """The checkpoints of its trials."""
    busy_warm: float | None
    """Share of the warm slots' time in which workers trained; None for that of an earlier run."""

    def write(self, *, measure: bool) -> Summary:
        """Write all files, and return the summary.

        Args:
            measure: whether the best checkpoint is measured. This may be interrupted, so the summary is written before.
        """
        experiment = self.folder.local
        write_tables(experiment, self.study, self.space, self.config)
        self._summarise()
        export_best(experiment, self.checkpoints, self.study, self.space, measure=measure)
        summary = self._summarise()
        try:
            write_page(self.folder, self.study)
        except InputError as error:  # a full disk; everything else is written
            print_line(f"warning: {error}")
        return summary

    def _summarise(self) -> Summary:
        record, file = StudyRecord(self.study), self.folder.local / SUMMARY
        others = [*screened_trials(self.study), *repeat_trials(self.study)]
        trained = sum(trial.seconds for trial in [*ended_trials(self.study), *others])
        warm = self.busy_warm
        if warm is None:
            warm = Summary.read(file).busy_fraction_warm if file.exists() else 0.0
        summary = Summary.from_study(
            self.study,
            self.space,
            wall_seconds=record.wall_seconds,
            busy=trained / record.slot_seconds,
            busy_warm=warm,
        )
        summary.write(file)
        return summary
