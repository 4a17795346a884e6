"""The checkpoints of a search's trials: `trials/<trial>/checkpoint_<number>/`, here or in object storage.

(Or `trials/<trial>.<attempt>/`, of a trial that began again in one run of the search as its machines were lost.)

Tune writes them; this finds, reads, renames and deletes them. A checkpoint is named by its path in pyarrow's file
system, which is what Tune gives for it too.
"""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from decouple_search.storage.folder import CHECKPOINT_FILES, Folder
from decouplenet.config import flatten, load_yaml, parse_yaml

TRIALS = "trials"
STATE = "state.pt"


class Checkpoints:
    """The checkpoints in the folder of a search.

    Args:
        folder: the search's.

    Raises:
        InputError: the storage cannot be used, in any call.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.system, root = folder.opened
        """pyarrow's file system."""
        self.root = f"{root}/{TRIALS}"
        """The folder of all trials in it."""
        self._here = self.system.type_name == "local"
        self._hidden: set[str] = set()

    def all(self) -> dict[str, list[str]]:
        """The checkpoints that there are by trial, oldest first; also those that were not written to the end."""
        found: dict[str, set[str]] = {}
        for info in self._list(self.root, recursive=not self._here):  # at once where each question takes long
            folder, *inside = info.path.removeprefix(f"{self.root}/").split("/")
            if self._here and not info.is_file:
                inside = [one.base_name for one in self._list(info.path)]
            names = inside if self._here else inside[:1]
            there = {f"{self.root}/{folder}/{name}" for name in names if name.startswith("checkpoint_")}
            found.setdefault(folder.partition(".")[0], set()).update(there - self._hidden)
        return {trial: sorted(places, key=written) for trial, places in sorted(found.items()) if places}

    def is_whole(self, checkpoint: str) -> bool:
        """Whether it was written to the end; in object storage files appear whole, so they need but be there."""
        if self._here:
            return _is_whole(Path(checkpoint))
        return {*CHECKPOINT_FILES, STATE} <= {info.base_name for info in self._list(checkpoint)}

    def metrics(self, checkpoint: str) -> dict[str, Any]:
        """Its metrics.json."""
        metrics: dict[str, Any] = json.loads(self._read(f"{checkpoint}/metrics.json"))
        return metrics

    def config(self, checkpoint: str) -> dict[str, Any]:
        """The dotted keys of its config.yaml."""
        return flatten(parse_yaml(self._read(f"{checkpoint}/config.yaml"), f"{checkpoint}/config.yaml"))

    def rename(self, checkpoint: str, name: str) -> str:
        """Give it another name in its trial's folder; its new path."""
        target = f"{checkpoint.rpartition('/')[0]}/{name}"
        if self._here:
            self._folder.trying(lambda: self.system.move(checkpoint, target))
            return target
        for info in self._list(checkpoint):  # object storage moves no folders
            self._folder.trying(functools.partial(self.system.copy_file, info.path, f"{target}/{info.base_name}"))
        self.delete(checkpoint)
        return target

    def hide(self, checkpoint: str) -> None:
        """Leave it out of `all`, as it is going to be deleted."""
        self._hidden.add(checkpoint)

    def delete(self, checkpoint: str) -> None:
        """Delete it; what fails stays."""
        if self._here:
            shutil.rmtree(checkpoint, ignore_errors=True)
            return
        with contextlib.suppress(OSError):
            self.system.delete_dir(checkpoint)

    def delete_files(self) -> None:
        """Delete Tune's own state beside the trials' folders; not the hidden file that its workers look for."""
        for info in self._list(self.root):
            if info.is_file and not info.base_name.startswith("."):
                self._folder.trying(functools.partial(self.system.delete_file, info.path))

    @contextlib.contextmanager
    def at_hand(self, checkpoint: str) -> Iterator[Path]:
        """Its folder on this machine; a copy, for as long as the context lasts, where it is elsewhere."""
        if self._here:
            yield Path(checkpoint)
            return
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in self._folder.trying(lambda: read_files(self.system, checkpoint)).items():
                (Path(scratch) / name).write_bytes(content)
            yield Path(scratch)

    def _list(self, path: str, *, recursive: bool = False) -> list[Any]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(path, allow_not_found=True, recursive=recursive)
        found: list[Any] = self._folder.trying(lambda: self.system.get_file_info(selector))
        return found

    def _read(self, path: str) -> bytes:
        def read() -> bytes:
            with self.system.open_input_stream(path) as stream:
                content: bytes = stream.read()
            return content

        return self._folder.trying(read)


def read_files(system: Any, folder: str) -> dict[str, bytes]:
    """The contents of the files in a folder of a pyarrow file system, by name; none if there is no such folder."""
    from pyarrow.fs import FileSelector

    read = {}
    for info in system.get_file_info(FileSelector(folder, allow_not_found=True)):
        if info.is_file:
            with system.open_input_stream(info.path) as stream:
                read[info.base_name] = stream.read()
    return read


def written(checkpoint: str) -> tuple[int, int, str]:
    """By age: those of earlier runs first, by attempt within a run, and by number within that."""
    folder, name = checkpoint.split("/")[-2:]
    run, _, number = name.removeprefix("checkpoint_").rpartition("-")
    return (int(run) if run else 10**9), int(folder.partition(".")[2] or 0), number


def _is_whole(folder: Path) -> bool:
    """Whether a checkpoint to go on from was written to the end; a killed process or a full disk leaves a part.

    Without torch, whose import takes seconds that a trial's own process and the end of a stopped search must not.
    """
    try:
        json.loads((folder / "metrics.json").read_text())
        load_yaml(folder / "config.yaml")
        weights = folder / "model.safetensors"
        with weights.open("rb") as stream:
            header = int.from_bytes(stream.read(8), "little")
            ends = [of["data_offsets"][1] for name, of in json.loads(stream.read(header)).items() if name[:2] != "__"]
        # torch's files are zip archives, whose directory is at the end.
        return weights.stat().st_size == 8 + header + max(ends, default=0) and zipfile.is_zipfile(folder / "state.pt")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError, AttributeError):
        return False
