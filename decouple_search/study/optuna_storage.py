"""Where the Optuna study is: a journal file in the experiment's folder, or a database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from decouple_search.space.space import Space
from decouple_search.study.journal import Journal, read_journal
from decouple_search.study.record import StudyRecord
from decouplenet.command_line import print_line
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
    with _usable(file, url):
        return optuna.create_study(
            storage=_database(url) if url else _writable(file, read_journal(file) if file.exists() else None),
            study_name=name if url else STUDY_NAME,
            directions=["maximize" if objective.mode == "max" else "minimize" for objective in space.objectives],
            load_if_exists=True,
        )


def reopen_study(file: Path, *, url: str | None = None, name: str = STUDY_NAME) -> optuna.Study | None:
    """The study of an experiment that goes on. A damaged journal is mended, and a line is printed about it.

    Args:
        file: the journal, `study.log`.
        url: a database in place of the journal; the study is called `name` there.
        name: the name of the study.

    Returns:
        The study; None if there is none, or if a search was killed while it made the study. Then nothing is changed.

    Raises:
        InputError: the file or the database cannot be used. Then nothing is changed.
    """
    with _usable(file, url):
        if url:
            return _complete_study(_database(url), name)
        journal = read_journal(file) if file.exists() else None
        if journal is None or _complete_study(journal.storage, STUDY_NAME) is None:
            return None
        return _complete_study(_writable(file, journal), STUDY_NAME)


def load_journal(file: Path) -> optuna.Study:
    """The study in a journal file, to read. The file is not changed.

    Raises:
        InputError: the file is damaged so that its records are in doubt.
        KeyError: the file has no study.
        OSError: the file cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.load_study(study_name=STUDY_NAME, storage=read_journal(file).storage)


def _writable(file: Path, journal: Journal | None) -> JournalStorage:
    """The storage of a journal file, mended, and without the lock that a killed process left.

    The caller makes sure that no other process has the file open.

    Args:
        file: the journal file.
        journal: what was read from it; None if there is no file yet.
    """
    if note := journal.mend() if journal else "":
        print_line(f"note       {note}")
    file.with_name(f"{file.name}.lock").unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(str(file)))


def _complete_study(storage: BaseStorage, name: str) -> optuna.Study | None:
    """The study of that name, if there is one with all that a new search puts into it."""
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        return None
    return study if StudyRecord(study).runs is not None else None


@contextlib.contextmanager
def _usable(file: Path, url: str | None) -> Iterator[None]:
    """A context in which the exceptions of a journal or a database are raised as an `InputError`."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{shown(url or file)}: cannot be used as a study ({_reason(error, url)})") from None


def _database(url: str) -> BaseStorage:
    try:
        return optuna.storages.RDBStorage(url)
    except Exception as error:  # SQLAlchemy and the database's driver raise many kinds
        raise InputError(f"--optuna-storage: '{shown(url)}' cannot be used ({_reason(error, url)})") from None


def _reason(error: Exception, url: str | None) -> str:
    """An error in one line, without the password that a database's URL may have."""
    return one_line(str(error).replace(url, shown(url)) if url else error)
