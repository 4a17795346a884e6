"""A command's folder of results: on a disk (`LocalFolder`) or in object storage (`RemoteFolder`: s3://, gs://, ...).

Ray writes checkpoints into object storage by itself. All other files are made in a folder of this machine and copied
from there. `mirror.py` copies them while a search runs.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from decouple_search.storage.compat import in_job
from decouplenet.atomic_files import replace_file
from decouplenet.checkpoint_files import CHECKPOINT_FILES
from decouplenet.data.places import shown
from decouplenet.errors import InputError, one_line

PARALLEL_COPIES = 8
"""Files that are copied at the same time."""
UNFINISHED_SUFFIXES = (".lock", ".partial")
"""Files that no other machine needs: locks, and files that are being written."""

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

    def child(self, name: str) -> Folder:
        """The folder `name` in this folder."""
        return open_folder(self.uri, name)

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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Remove the copies on this machine."""


class LocalFolder(Folder):
    """A folder on a disk of this machine, or on a disk that machines share.

    In a Ray job, a relative path is below the home folder: Ray deletes the job's own working folder.

    Args:
        storage: the parent folder.
        name: the folder in it.
    """

    def __init__(self, storage: str, name: str) -> None:
        self.name = name
        self.relative = not Path(storage).expanduser().is_absolute()
        home = Path.home() if in_job() else Path()
        self.uri = self.shown = str((home / Path(storage).expanduser()).resolve() / name)
        self.flags = f"--storage {storage} --name {name}"

    @property
    def local(self) -> Path:
        """The folder itself."""
        return Path(self.uri)

    @property
    def ray_filesystem(self) -> Any:
        """None: Ray takes the path."""
        return None

    def shared_file(self, name: str) -> str | None:
        """As `Folder.shared_file`."""
        return str(self.local / name)

    def exists(self) -> bool:
        """As `Folder.exists`."""
        return self.local.exists()

    def names(self) -> set[str]:
        """As `Folder.names`."""
        return {file.name for file in self.local.iterdir()} if self.local.is_dir() else set()

    def pull(self, name: str) -> Path | None:
        """As `Folder.pull`."""
        file = self.local / name
        return file if file.is_file() else None

    def read(self, name: str) -> bytes | None:
        """As `Folder.read`."""
        file = self.local / name
        return self.trying(lambda: file.read_bytes() if file.is_file() else None)

    def write(self, name: str, content: bytes) -> None:
        """As `Folder.write`."""
        file = self.local / name
        self.trying(lambda: file.parent.mkdir(parents=True, exist_ok=True))
        self.trying(lambda: replace_file(file, content))

    def remove(self, name: str) -> None:
        """As `Folder.remove`."""
        self.trying(lambda: (self.local / name).unlink(missing_ok=True))

    def push(self, last: str = "") -> None:
        """Nothing to do: the files are where they belong."""

    def push_file(self, name: str) -> None:
        """Nothing to do: the file is where it belongs."""

    def keep_local(self) -> Path:
        """As `Folder.keep_local`."""
        return self.local

    def close(self) -> None:
        """Nothing to do: there are no copies."""


class RemoteFolder(Folder):
    """A folder in object storage.

    Args:
        storage: a URI; its query (`?endpoint_override=...`) is pyarrow's.
        name: the folder in it.

    Raises:
        InputError: the storage cannot be reached, in any call.
    """

    def __init__(self, storage: str, name: str) -> None:
        self.name, self.relative = name, False
        base, question, query = storage.partition("?")
        self.uri = f"{base.rstrip('/')}/{quote(name)}{question}{query}"
        self.shown = shown(f"{base.rstrip('/')}/{name}")
        self.flags = f"--storage {self.shown.rpartition('/')[0]} --name {name}"
        self._pushed: dict[Path, tuple[int, int]] = {}
        self._kept = False

    @functools.cached_property
    def local(self) -> Path:
        """A folder of this machine for the files that are made here."""
        return Path(tempfile.mkdtemp(prefix="decouple-")) / self.name

    @property
    def ray_filesystem(self) -> Any:
        """As `Folder.ray_filesystem`."""
        return self.opened[0]

    def shared_file(self, name: str) -> str | None:
        """None: machines share no disk."""
        return None

    def close(self) -> None:
        """As `Folder.close`."""
        if "local" in self.__dict__ and not self._kept:
            shutil.rmtree(self.local.parent, ignore_errors=True)

    def keep_local(self) -> Path:
        """As `Folder.keep_local`."""
        self._kept = True
        return self.local

    def exists(self) -> bool:
        """As `Folder.exists`."""
        return bool(self.names())

    def names(self) -> set[str]:
        """As `Folder.names`."""
        names: set[str] = self.trying(lambda: {info.base_name for info in self._list()})
        return names

    def pull(self, name: str) -> Path | None:
        """As `Folder.pull`."""
        file = self.local / name
        if (content := self.read(name)) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return file if file.is_file() else None

    def read(self, name: str) -> bytes | None:
        """As `Folder.read`."""
        system, path = self.opened

        def read() -> bytes | None:
            try:
                with system.open_input_stream(f"{path}/{name}") as stream:
                    content: bytes = stream.read()
            except FileNotFoundError:
                return None
            return content

        return self.trying(read)

    def write(self, name: str, content: bytes) -> None:
        """As `Folder.write`."""
        self.trying(lambda: self._write(name, content))

    def remove(self, name: str) -> None:
        """As `Folder.remove`."""
        system, path = self.opened
        with contextlib.suppress(FileNotFoundError):
            self.trying(lambda: system.delete_file(f"{path}/{name}"), FileNotFoundError)

    def push(self, last: str = "") -> None:
        """As `Folder.push`; only files that are new or changed are copied."""
        files = sorted(self.trying(lambda: list(self.local.rglob("*"))))
        with ThreadPoolExecutor(PARALLEL_COPIES) as pool:
            list(pool.map(self._push, (file for file in files if file.name != last)))
        for file in files:
            if file.name == last:
                self._push(file)

    def _push(self, file: Path) -> None:
        hidden = any(part.startswith(".") for part in file.relative_to(self.local).parts)  # it is being written
        if hidden or file.suffix in UNFINISHED_SUFFIXES:
            return
        try:
            if not file.is_file():
                return
            stat = file.stat()
            version = stat.st_mtime_ns, stat.st_size
            if self._pushed.get(file) == version:
                return
            content = self.trying(file.read_bytes, FileNotFoundError)
        except FileNotFoundError:  # it was replaced just now; the next push copies the new file
            return
        self.write(file.relative_to(self.local).as_posix(), content)
        self._pushed[file] = version

    def _write(self, name: str, content: bytes) -> None:
        system, path = self.opened
        target = f"{path}/{name}"
        if system.type_name != "local":  # in object storage a file appears whole
            with system.open_output_stream(target) as stream:
                stream.write(content)
            return
        Path(target).parent.mkdir(parents=True, exist_ok=True)  # a file:// URI; object storage has no folders
        replace_file(Path(target), content)

    def _list(self) -> list[Any]:
        from pyarrow.fs import FileSelector

        system, path = self.opened
        listed: list[Any] = system.get_file_info(FileSelector(path, allow_not_found=True))
        return listed


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


def _open(uri: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem, LocalFileSystem

    opened: tuple[Any, str] = FileSystem.from_uri(uri) if "://" in uri else (LocalFileSystem(), uri)
    return opened
