"""The right to write in a folder of results: one search at a time, and what happens to checkpoints it deletes.

A disk has a file lock for this. Object storage has no locks, so a lease takes its place, and a mirror copies the files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.folder import Folder
from decouple_search.storage.lease import StorageLease
from decouple_search.storage.mirror import Mirror
from decouple_search.storage.remote_folder import RemoteFolder
from decouplenet.errors import InputError, one_line

Delete = Callable[[str], None]
"""Deletes a checkpoint, given its path."""


class Writer(Protocol):
    """The right to write in a folder."""

    def copying(self, checkpoints: Checkpoints) -> contextlib.AbstractContextManager[Delete]:
        """While the context lasts, the storage follows the files on this machine; gives how to delete a checkpoint."""


@contextlib.contextmanager
def exclusive_writer(folder: Folder) -> Iterator[Writer]:
    """The only right to write in a folder, for as long as the context lasts.

    Raises:
        InputError: another search writes there, or the folder cannot be made or locked.
    """
    if isinstance(folder, RemoteFolder):
        with StorageLease(folder) as lease:
            _make(folder.local)
            yield _RemoteWriter(folder, lease)
    else:
        _make(folder.local)
        with exclusive_lock(folder.local):
            yield _LocalWriter()


@contextlib.contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """A lock on a folder of a disk; it ends with the process, however the process ends.

    Raises:
        InputError: another search has the lock, or the folder's disk keeps no locks.
    """
    # Without a fallback: where a disk has no locks, filelock would take a file's existence for one.
    lock = FileLock(folder / ".lock", blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"--name: another search is writing in '{folder}'; wait for it, or stop it") from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise InputError(f"--storage: '{folder}' cannot be locked ({reason}); give another folder") from None
    try:
        yield
    finally:
        lock.release()


class _LocalWriter:
    @contextlib.contextmanager
    def copying(self, checkpoints: Checkpoints) -> Iterator[Delete]:
        yield checkpoints.delete


class _RemoteWriter:
    def __init__(self, folder: Folder, lease: StorageLease) -> None:
        self._folder, self._lease = folder, lease

    @contextlib.contextmanager
    def copying(self, checkpoints: Checkpoints) -> Iterator[Delete]:
        with Mirror(self._folder, checkpoints, self._lease) as mirror:
            yield mirror.delete


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--storage: cannot make '{folder}' ({error.strerror}); give another folder") from None
