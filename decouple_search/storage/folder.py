"""A command's folder of results, here or in object storage (s3://, gs://, and whatever else pyarrow opens).

In object storage Ray writes its checkpoints by itself; the other files are made in a folder of this machine and
copied from there. Who copies while a search runs is `mirror.py`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from decouplenet.data.places import shown
from decouplenet.errors import InputError

CHECKPOINT_FILES = ("model.safetensors", "config.yaml", "metrics.json")
"""What every checkpoint folder has."""
AT_A_TIME = 8
"""Files that are copied at a time."""

_T = TypeVar("_T")


class Folder:
    """The folder `name` in `storage`, as a context: what was copied for it on this machine is removed at the end.

    In a Ray job a relative folder is under the home folder, as the job's own is a copy that Ray deletes.

    Args:
        storage: a folder, or a URI; a query (`?endpoint_override=...`) is pyarrow's.
        name: the folder in it.

    Raises:
        InputError: the storage cannot be reached, in any call.
    """

    def __init__(self, storage: str, name: str) -> None:
        self.remote = "://" in storage
        """Whether it is in object storage."""
        self.relative = not self.remote and not Path(storage).expanduser().is_absolute()
        """Whether it is a folder of which the user did not say on what disk."""
        if self.remote:
            base, question, query = storage.partition("?")
            self.uri = f"{base.rstrip('/')}/{quote(name)}{question}{query}"
        else:
            home = Path.home() if in_job() else Path()
            self.uri = str((home / Path(storage).expanduser()).resolve() / name)
        # For Ray; may hold keys.
        self.shown = shown(f"{storage.partition('?')[0].rstrip('/')}/{name}") if self.remote else self.uri
        """For the user to read."""
        self.flags = f"--storage {self.shown.rpartition('/')[0] if self.remote else storage} --name {name}"
        """For the user to give again."""
        self.name = name
        self._pushed: dict[Path, tuple[int, int]] = {}
        self._kept = False

    @functools.cached_property
    def local(self) -> Path:
        """The files of this machine."""
        return Path(tempfile.mkdtemp(prefix="decouple-")) / self.name if self.remote else Path(self.uri)

    @functools.cached_property
    def opened(self) -> tuple[Any, str]:
        """The file system of pyarrow, and the folder's path in it."""
        return self.trying(lambda: _open(self.uri))

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.remote and "local" in self.__dict__ and not self._kept:
            shutil.rmtree(self.local.parent, ignore_errors=True)

    def keep_local(self) -> Path:
        """Leave the files of this machine when the context ends; where they are."""
        self._kept = True
        return self.local

    def child(self, name: str) -> Folder:
        """The folder `name` in this one."""
        return Folder(self.uri, name)

    def exists(self) -> bool:
        """Whether anything is there."""
        return bool(self.names()) if self.remote else self.local.exists()

    def names(self) -> set[str]:
        """What is in it."""
        if not self.remote:
            return {file.name for file in self.local.iterdir()} if self.local.is_dir() else set()
        found: set[str] = self.trying(lambda: {info.base_name for info in self._list()})
        return found

    def pull(self, name: str) -> Path | None:
        """The file `name`, fetched from object storage if that is where it is; None if there is none."""
        file = self.local / name
        if self.remote and (content := self.read(name)) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return file if file.is_file() else None

    def read(self, name: str) -> bytes | None:
        """What object storage has under a name; None if nothing."""
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
        """Put a file into object storage, where it appears whole."""
        self.trying(lambda: self._write(name, content))

    def remove(self, name: str) -> None:
        """Delete a file in object storage; none there is as well."""
        system, path = self.opened
        with contextlib.suppress(FileNotFoundError):
            self.trying(lambda: system.delete_file(f"{path}/{name}"), FileNotFoundError)

    def push(self, last: str = "") -> None:
        """Copy what is new or changed to object storage; a file appears there whole.

        Args:
            last: file that is copied when all others are there.
        """
        if not self.remote:
            return
        files = sorted(self.trying(lambda: list(self.local.rglob("*"))))
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(self._push, (file for file in files if file.name != last)))
        for file in files:
            if file.name == last:
                self._push(file)

    def _push(self, file: Path) -> None:
        hidden = any(part.startswith(".") for part in file.relative_to(self.local).parts)  # a file that is being made
        if hidden or file.suffix in (".lock", ".partial"):
            return
        try:
            if not file.is_file():
                return
            stat = file.stat()
            now = stat.st_mtime_ns, stat.st_size
            if self._pushed.get(file) == now:
                return
            content = self.trying(file.read_bytes, FileNotFoundError)
        except FileNotFoundError:  # replaced just now; the next time brings what is there then
            return
        self.write(file.relative_to(self.local).as_posix(), content)
        self._pushed[file] = now

    def _write(self, name: str, content: bytes) -> None:
        system, path = self.opened
        target = f"{path}/{name}"
        if system.type_name != "local":
            with system.open_output_stream(target) as stream:
                stream.write(content)
            return
        partial = Path(target).with_name(f".{Path(target).name}.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)  # object storage has no folders
        partial.write_bytes(content)
        partial.replace(target)

    def _list(self) -> list[Any]:
        from pyarrow.fs import FileSelector

        system, path = self.opened
        found: list[Any] = system.get_file_info(FileSelector(path, allow_not_found=True))
        return found

    def trying(self, action: Callable[[], _T], *passed: type[Exception]) -> _T:
        """What an action on this folder gives.

        Args:
            action: what to do.
            passed: exceptions that are the caller's to handle.

        Raises:
            InputError: the storage cannot be used, in place of what the action raised.
        """
        try:
            return action()
        except passed:
            raise
        except (OSError, ValueError) as error:  # pyarrow's own are subclasses of these
            reason = " ".join(str(error).replace(self.uri, self.shown).split())[:300]
            raise InputError(f"--storage: '{self.shown}' cannot be used ({reason})") from None


def in_job() -> bool:
    """Whether this is the driver of a Ray job."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def _open(uri: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem, LocalFileSystem

    opened: tuple[Any, str] = FileSystem.from_uri(uri) if "://" in uri else (LocalFileSystem(), uri)
    return opened


def here(place: str) -> Path:
    """The file or folder that a user means by a path.

    In a Ray job what is not in the job's own copy of the working folder is looked for under the home folder, where
    `Folder` puts results.
    """
    path = Path(place).expanduser()
    return (Path.home() if in_job() and not path.exists() else Path()) / path


def folder_at(place: str) -> Folder:
    """The folder at a path or URI that a user gave."""
    if "://" not in place:
        path = here(place).absolute()
        return Folder(str(path.parent), path.name)
    base, question, query = place.partition("?")
    storage, _, name = base.rstrip("/").rpartition("/")
    return Folder(f"{storage}{question}{query}", unquote(name))


def open_checkpoint(place: str, stack: contextlib.ExitStack) -> tuple[str, Path]:
    """How to call a checkpoint, and its folder on this machine.

    Args:
        place: a folder, or the URI of one in object storage, whose files are fetched.
        stack: when this closes, what was fetched is removed.

    Raises:
        InputError: the storage cannot be reached.
    """
    if "://" not in place:
        return place, here(place)
    folder = stack.enter_context(folder_at(place))
    for file in CHECKPOINT_FILES:
        folder.pull(file)
    return folder.shown, folder.local


def replace_text(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text)
    partial.replace(file)
