"""A command's folder of results, here or in object storage (s3://, gs://, and whatever else pyarrow opens).

In object storage Ray writes its checkpoints by itself; the other files are made in a folder of this machine and
copied from there.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from decouplenet.errors import InputError

CHECKPOINT_FILES = ("model.safetensors", "config.yaml", "metrics.json")
"""What every checkpoint folder has."""


class Folder:
    """The folder `name` in `storage`, as a context: what was copied for it on this machine is removed at the end.

    Args:
        storage: a folder, or a URI; a query (`?endpoint_override=...`) is pyarrow's.
        name: the folder in it.

    Raises:
        InputError: the storage cannot be reached, in any call.
    """

    def __init__(self, storage: str, name: str) -> None:
        self.remote = "://" in storage
        """Whether it is in object storage."""
        base, question, query = storage.partition("?") if self.remote else (storage, "", "")
        self.uri = f"{base.rstrip('/')}/{name}{question}{query}"
        """For Ray; may hold keys."""
        self.shown = re.sub(r"(?<=://)[^/@]*@|\?.*", "", self.uri)
        """For the user to read."""
        self.flags = f"--storage {self.shown.rpartition('/')[0] if self.remote else storage} --name {name}"
        """For the user to give again."""
        self._pushed: dict[Path, tuple[int, int]] = {}
        self.local = Path(storage).expanduser().resolve() / name
        """The files of this machine."""
        if self.remote:
            self._fs, self._path = self._try(lambda: _open(self.uri))
            self.local = Path(tempfile.mkdtemp(prefix="decouple-")) / name
        else:
            self.uri = self.shown = str(self.local)

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.remote:
            shutil.rmtree(self.local.parent, ignore_errors=True)

    def exists(self) -> bool:
        """Whether anything is there."""
        if not self.remote:
            return self.local.exists()
        found: bool = self._try(lambda: bool(self._list()))
        return found

    def pull(self, name: str) -> Path | None:
        """The file `name`, fetched from object storage if that is where it is; None if there is none."""
        file = self.local / name
        if self.remote and self._try(lambda: self._fs.get_file_info(f"{self._path}/{name}").is_file):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._try(lambda: self._fs.open_input_stream(f"{self._path}/{name}").read()))
        return file if file.is_file() else None

    def push(self) -> None:
        """Copy what is new or changed to object storage; a file appears there whole."""
        if not self.remote:
            return
        for file in sorted(self.local.rglob("*")):
            stat = file.stat()
            now = stat.st_mtime_ns, stat.st_size
            if file.is_file() and self._pushed.get(file) != now:
                self._try(lambda file=file: self._write(file))
                self._pushed[file] = now

    def _write(self, file: Path) -> None:
        target = f"{self._path}/{file.relative_to(self.local).as_posix()}"
        if self._fs.type_name == "local":  # object storage has no folders
            self._fs.create_dir(target.rpartition("/")[0])
        with self._fs.open_output_stream(target) as stream:
            stream.write(file.read_bytes())

    def _list(self) -> list[Any]:
        from pyarrow.fs import FileSelector

        found: list[Any] = self._fs.get_file_info(FileSelector(self._path, allow_not_found=True))
        return found

    def _try(self, action: Any) -> Any:
        try:
            return action()
        except (OSError, ValueError) as error:  # pyarrow's own are subclasses of these
            reason = " ".join(str(error).split())[:300]
            raise InputError(f"--storage: '{self.shown}' cannot be used ({reason})") from None


def _open(uri: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem

    opened: tuple[Any, str] = FileSystem.from_uri(uri)
    return opened


def open_checkpoint(place: str, stack: contextlib.ExitStack) -> tuple[str, Path]:
    """How to call a checkpoint, and its folder on this machine.

    Args:
        place: a folder, or the URI of one in object storage, whose files are fetched.
        stack: when this closes, what was fetched is removed.

    Raises:
        InputError: the storage cannot be reached.
    """
    if "://" not in place:
        return place, Path(place)
    base, question, query = place.partition("?")
    storage, _, name = base.rstrip("/").rpartition("/")
    folder = stack.enter_context(Folder(f"{storage}{question}{query}", name))
    for file in CHECKPOINT_FILES:
        folder.pull(file)
    return folder.shown, folder.local


def replace_text(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text)
    partial.replace(file)
