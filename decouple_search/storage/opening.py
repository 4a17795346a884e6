"""Folders and checkpoints of results at the places that a user names: paths or URIs."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import unquote

from decouple_search.storage.compat import in_job
from decouple_search.storage.folder import Folder
from decouple_search.storage.local_folder import LocalFolder
from decouple_search.storage.remote_folder import RemoteFolder
from decouplenet.checkpoint_files import CHECKPOINT_FILES


def open_folder(storage: str, name: str) -> Folder:
    """The folder `name` in `storage`, a folder or a URI."""
    return RemoteFolder(storage, name) if "://" in storage else LocalFolder(storage, name)


def folder_at(place: str) -> Folder:
    """The folder at a path or URI that a user gave."""
    if "://" not in place:
        path = user_path(place).absolute()
        return LocalFolder(str(path.parent), path.name)
    base, question, query = place.partition("?")
    storage, _, name = base.rstrip("/").rpartition("/")
    return RemoteFolder(f"{storage}{question}{query}", unquote(name))


def user_path(place: str) -> Path:
    """The file or folder that a user means by a path.

    In a Ray job the path is looked up in the job's copy of the working folder, then below the home folder, where
    `LocalFolder` puts results.
    """
    path = Path(place).expanduser()
    return (Path.home() if in_job() and not path.exists() else Path()) / path


def open_checkpoint(place: str, stack: contextlib.ExitStack) -> tuple[str, Path]:
    """How to call a checkpoint, and its folder on this machine.

    Args:
        place: a folder, or the URI of a folder in object storage, whose files are fetched.
        stack: removes what was fetched when it closes.

    Raises:
        InputError: the storage cannot be reached.
    """
    if "://" not in place:
        return place, user_path(place)
    folder = stack.enter_context(folder_at(place))
    for file in CHECKPOINT_FILES:
        folder.pull(file)
    return folder.shown, folder.local
