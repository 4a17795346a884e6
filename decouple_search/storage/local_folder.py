"""A folder of results on a disk of this machine, or on a disk that machines share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from decouple_search.storage.compat import in_job
from decouple_search.storage.folder import Folder
from decouplenet.atomic_files import replace_file


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
    def place(self) -> Path:
        """The folder itself."""
        return self.local

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

    def child(self, name: str) -> LocalFolder:
        """As `Folder.child`."""
        return LocalFolder(self.uri, name)
