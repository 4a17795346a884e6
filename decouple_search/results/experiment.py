"""The results of a search as an object, read from its folder; also while the search runs. Needs no Ray."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna

from decouple_search.results.tables import (
    BEST_CHECKPOINT,
    BEST_CONFIG,
    LEADERBOARD,
    SUMMARY,
    LeaderboardRow,
    Summary,
    cell_value,
    read_leaderboard,
)
from decouple_search.space.objective import Objective
from decouple_search.storage.folder import Folder
from decouple_search.study.definition import DEFINITION, JOURNAL, Definition
from decouple_search.study.journal import read_journal
from decouple_search.study.optuna_storage import STUDY_NAME
from decouple_search.study.record import StudyRecord
from decouplenet.config import Config
from decouplenet.errors import InputError, one_line
from decouplenet.yaml_text import load_yaml


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """The results of a search, as they were when it was read."""

    folder: str
    """The search's folder, a path or URI."""
    objectives: tuple[Objective, ...]
    """The objectives. Trials are ranked by the first one."""
    rows: tuple[LeaderboardRow, ...] = field(repr=False)
    """The rows of leaderboard.csv, best first, as text."""
    best_config: Config | None = field(repr=False)
    """The best trial's complete configuration; None before a trial has a value."""
    best_checkpoint: Path | str | None = field(repr=False)
    """The best trial's checkpoint: a folder, or a URI in object storage; None before the search has ended."""
    study: optuna.Study = field(repr=False)
    """A copy of the Optuna study, in memory."""
    summary: Summary | None
    """The content of summary.json; None before the search has ended."""

    @property
    def leaderboard(self) -> Any:
        """The leaderboard, best first: a pandas DataFrame where pandas is installed, else a list of dicts by column.

        An absent value is None, and so is a chosen None, which is `null` in `rows`. `trial_id` is text.
        """
        rows = [
            {name: cell if name == "trial_id" else cell_value(cell) if cell else None for name, cell in cells.items()}
            for cells in (row.cells for row in self.rows)
        ]
        if importlib.util.find_spec("pandas") is None:
            return rows
        import pandas as pd

        return pd.DataFrame(rows)

    @property
    def interrupted(self) -> bool:
        """Whether the search was interrupted. `search` with the same storage, name and space resumes it."""
        return StudyRecord(self.study).interrupted


def read_experiment(folder: Folder, optuna_storage: str | None = None) -> Experiment:
    """Read the results of a search.

    Args:
        folder: the search's folder.
        optuna_storage: the URL of the study's database; None for the journal in the folder.

    Raises:
        InputError: the folder is no search's, or its study cannot be read.
    """
    definition_file = folder.pull(DEFINITION)
    if definition_file is None:
        raise InputError(f"'{folder.shown}' is no search's folder; give a folder that tune wrote")
    leaderboard, best_config, summary = (folder.pull(name) for name in (LEADERBOARD, BEST_CONFIG, SUMMARY))
    return Experiment(
        folder=folder.shown,
        objectives=Definition.read(definition_file).ordered_objectives,
        rows=tuple(read_leaderboard(leaderboard)) if leaderboard else (),
        best_config=Config.from_dict(load_yaml(best_config)) if best_config else None,
        best_checkpoint=_best_checkpoint(folder),
        study=_study(folder, optuna_storage),
        summary=Summary.read(summary) if summary else None,
    )


def _best_checkpoint(folder: Folder) -> Path | str | None:
    return folder.child(BEST_CHECKPOINT).place if BEST_CHECKPOINT in folder.names() else None


def _study(folder: Folder, url: str | None) -> optuna.Study:
    """A copy of the study in memory."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    copy = optuna.storages.InMemoryStorage()
    try:
        if url:
            return _copied(folder.name, url, copy)
        file = folder.pull(JOURNAL)
        if file is None:
            raise FileNotFoundError(f"no {JOURNAL}")
        return _copied(STUDY_NAME, read_journal(file).storage, copy)
    except InputError:
        raise
    except Exception as error:  # a journal and a database raise many kinds
        hint = "" if url else "; give --optuna-storage if it is in a database"
        raise InputError(f"the study of '{folder.shown}' cannot be read ({one_line(error)}){hint}") from None


def _copied(name: str, storage: Any, copy: optuna.storages.BaseStorage) -> optuna.Study:
    optuna.copy_study(from_study_name=name, from_storage=storage, to_storage=copy, to_study_name=name)
    return optuna.load_study(study_name=name, storage=copy)
