"""Where the Optuna study is: a journal file in the experiment's folder, or a database."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from decouple_search.space.space import Space
from decouplenet.data.places import shown
from decouplenet.errors import InputError, one_line

STUDY_NAME = "decouple_search"
"""The name of the study in a journal."""


def open_study(file: Path, space: Space, *, url: str | None = None, name: str = STUDY_NAME) -> optuna.Study:
    """The study of an experiment; a new study if there is none.

    Args:
        file: the journal, `study.log`.
        space: the searched space, for the directions of its objectives.
        url: a database in place of the journal; the study is called `name` there.
        name: the name of the study.

    Raises:
        InputError: the file or the database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(
            storage=_database(url) if url else journal(file),
            study_name=name if url else STUDY_NAME,
            directions=["maximize" if objective.mode == "max" else "minimize" for objective in space.objectives],
            load_if_exists=True,
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{shown(url or file)}: cannot be used as a study ({_reason(error, url)})") from None


def load_journal(file: Path) -> optuna.Study:
    """The study in a journal file, to read.

    Raises:
        KeyError: the file has no study.
        OSError: the file cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.load_study(study_name=STUDY_NAME, storage=journal(file))


def journal(file: Path) -> JournalStorage:
    """The storage of a journal file, without the half line and the lock that a killed process left.

    The caller makes sure that no other process has the file open.
    """
    if file.exists():
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with file.open("r+b") as stream:
                stream.truncate(whole)
    file.with_name(f"{file.name}.lock").unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(str(file)))


def _database(url: str) -> BaseStorage:
    try:
        return optuna.storages.RDBStorage(url)
    except Exception as error:  # SQLAlchemy and the database's driver raise many kinds
        raise InputError(f"--optuna-storage: '{shown(url)}' cannot be used ({_reason(error, url)})") from None


def _reason(error: Exception, url: str | None) -> str:
    """An error in one line, without the password that a database's URL may have."""
    return one_line(str(error).replace(url, shown(url)) if url else error)
