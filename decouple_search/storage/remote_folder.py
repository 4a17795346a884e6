"""A folder of results in object storage (s3://, gs://, ...), through pyarrow."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from decouple_search.storage.folder import Folder
from decouplenet.atomic_files import replace_file
from decouplenet.data.places import shown

PARALLEL_COPIES = 8
"""Files that are copied at the same time."""
UNFINISHED_SUFFIXES = (".lock", ".partial")
"""Files that no other machine needs: locks, and files that are being written."""


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
    def place(self) -> str:
        """The URI."""
        return self.uri

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

    def child(self, name: str) -> RemoteFolder:
        """As `Folder.child`."""
        return RemoteFolder(self.uri, name)
