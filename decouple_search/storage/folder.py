"""A command's folder of results: the interface of folders on a disk and in object storage.

Ray writes checkpoints into object storage by itself. All other files are made in a folder of this machine and copied
from there. `mirror.py` copies them while a search runs.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from decouplenet.errors import InputError, one_line

_T = TypeVar("_T")


class Folder(ABC):
    """The folder `name` in a storage, as a context; at its end, copies on this machine are removed."""

    name: str
    """The folder's own name."""
    uri: str
    """The folder's path or URI, for Ray. A URI may hold keys."""
    shown: str
    """The folder's path or URI without keys, for the user to read."""
    flags: str
    """The flags that name this folder on a command line."""
    relative: bool
    """Whether the user gave a relative path, and so did not say on which disk the folder is."""

    @property
    @abstractmethod
    def local(self) -> Path:
        """The folder's files on this machine."""

    @property
    @abstractmethod
    def place(self) -> Path | str:
        """The folder as a user names it: a path, or a URI with its keys."""

    @functools.cached_property
    def opened(self) -> tuple[Any, str]:
        """The file system of pyarrow, and the folder's path in it."""
        return self.trying(lambda: _open(self.uri))

    @property
    @abstractmethod
    def ray_filesystem(self) -> Any:
        """The file system that Ray must be given to write here; None where a path is enough."""

    @abstractmethod
    def shared_file(self, name: str) -> str | None:
        """The path of a file that every machine must see; None where machines share no disk."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether the folder has any file."""

    @abstractmethod
    def names(self) -> set[str]:
        """The names of the files and folders in it."""

    @abstractmethod
    def pull(self, name: str) -> Path | None:
        """The file `name` on this machine, fetched if need be; None if there is no such file."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The content of the file `name`; None if there is no such file."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write the file `name`. A reader sees the old content or the new content, never a part."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete the file `name` if it is there."""

    @abstractmethod
    def push(self, last: str = "") -> None:
        """Bring the storage up to date with the files on this machine.

        Args:
            last: the file that is copied after all others.
        """

    def push_file(self, name: str) -> None:
        """Bring one file of this machine into the storage."""
        self.write(name, self.trying((self.local / name).read_bytes))

    @abstractmethod
    def keep_local(self) -> Path:
        """Keep the files on this machine when the context ends; returns where they are."""

    @abstractmethod
    def child(self, name: str) -> Folder:
        """The folder `name` in this folder."""

    def trying(self, action: Callable[[], _T], *passed: type[Exception]) -> _T:
        """Run an action on this folder.

        Args:
            action: the action.
            passed: exceptions that the caller handles.

        Raises:
            InputError: the storage cannot be used. It takes the place of the action's own exception.
        """
        try:
            return action()
        except passed:
            raise
        except (OSError, ValueError) as error:  # pyarrow's exceptions are subclasses of these
            reason = one_line(str(error).replace(self.uri, self.shown), 300)
            raise InputError(f"--storage: '{self.shown}' cannot be used ({reason})") from None

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Remove the copies on this machine."""


def _open(uri: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem, LocalFileSystem

    opened: tuple[Any, str] = FileSystem.from_uri(uri) if "://" in uri else (LocalFileSystem(), uri)
    return opened
