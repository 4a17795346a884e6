"""The checkpoints of a search's trials: `trials/<trial>/checkpoint_<number>/`, on a disk or in object storage.

A trial that was requeued within one run of the search writes into `trials/<trial>.<attempt>/`.

Tune writes checkpoints. This module lists, reads, renames and deletes them. A checkpoint is named by its path in
pyarrow's file system, as Tune names it too.
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

from decouple_search.storage.folder import Folder
from decouplenet.checkpoint_files import CHECKPOINT_FILES, CONFIG, METRICS, STATE, WEIGHTS
from decouplenet.dotted_keys import flatten
from decouplenet.yaml_text import load_yaml, parse_yaml

TRIALS = "trials"
"""The folder of all trials, in the folder of the search."""


class Checkpoints:
    """The checkpoints in a search's folder.

    Args:
        folder: the search's folder.

    Raises:
        InputError: the storage cannot be used, in any call.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.system, root = folder.opened
        """pyarrow's file system."""
        self.root = f"{root}/{TRIALS}"
        """The folder of all trials in it."""
        self._on_disk = self.system.type_name == "local"
        self._hidden: set[str] = set()

    def all(self) -> dict[str, list[str]]:
        """All checkpoints by trial, oldest first, also those that were not written to the end."""
        by_trial: dict[str, set[str]] = {}
        for info in self._list(self.root, recursive=not self._on_disk):  # object storage answers slowly: ask once
            folder, *inside = info.path.removeprefix(f"{self.root}/").split("/")
            if self._on_disk and not info.is_file:
                inside = [entry.base_name for entry in self._list(info.path)]
            names = inside if self._on_disk else inside[:1]
            checkpoints = {f"{self.root}/{folder}/{name}" for name in names if name.startswith("checkpoint_")}
            by_trial.setdefault(folder.partition(".")[0], set()).update(checkpoints - self._hidden)
        return {trial: sorted(paths, key=age_key) for trial, paths in sorted(by_trial.items()) if paths}

    def is_whole(self, checkpoint: str) -> bool:
        """Whether a checkpoint was written to the end. In object storage a file appears whole or not at all."""
        if self._on_disk:
            return _is_whole(Path(checkpoint))
        return {*CHECKPOINT_FILES, STATE} <= {info.base_name for info in self._list(checkpoint)}

    def metrics(self, checkpoint: str) -> dict[str, Any]:
        """A checkpoint's metrics.json."""
        metrics: dict[str, Any] = json.loads(self._read(f"{checkpoint}/{METRICS}"))
        return metrics

    def config(self, checkpoint: str) -> dict[str, Any]:
        """A checkpoint's config.yaml, as dotted keys."""
        return flatten(parse_yaml(self._read(f"{checkpoint}/{CONFIG}"), f"{checkpoint}/{CONFIG}"))

    def rename(self, checkpoint: str, name: str) -> str:
        """Rename a checkpoint within its trial's folder; returns its new path."""
        target = f"{checkpoint.rpartition('/')[0]}/{name}"
        if self._on_disk:
            self._folder.trying(lambda: self.system.move(checkpoint, target))
            return target
        for info in self._list(checkpoint):  # object storage moves no folders
            self._folder.trying(functools.partial(self.system.copy_file, info.path, f"{target}/{info.base_name}"))
        self.delete(checkpoint)
        return target

    def hide(self, checkpoint: str) -> None:
        """Leave a checkpoint out of `all`, because it will be deleted."""
        self._hidden.add(checkpoint)

    def delete(self, checkpoint: str) -> None:
        """Delete a checkpoint. A file that cannot be deleted stays."""
        if self._on_disk:
            shutil.rmtree(checkpoint, ignore_errors=True)
            return
        with contextlib.suppress(OSError):
            self.system.delete_dir(checkpoint)

    def delete_files(self) -> None:
        """Delete Tune's own state beside the trials' folders. The hidden file that Tune's workers look for stays."""
        for info in self._list(self.root):
            if info.is_file and not info.base_name.startswith("."):
                self._folder.trying(functools.partial(self.system.delete_file, info.path))

    @contextlib.contextmanager
    def local_copy(self, checkpoint: str) -> Iterator[Path]:
        """A checkpoint's folder on this machine; in object storage, a copy for as long as the context lasts."""
        if self._on_disk:
            yield Path(checkpoint)
            return
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in self._folder.trying(lambda: read_files(self.system, checkpoint)).items():
                (Path(scratch) / name).write_bytes(content)
            yield Path(scratch)

    def _list(self, path: str, *, recursive: bool = False) -> list[Any]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(path, allow_not_found=True, recursive=recursive)
        listed: list[Any] = self._folder.trying(lambda: self.system.get_file_info(selector))
        return listed

    def _read(self, path: str) -> bytes:
        def read() -> bytes:
            with self.system.open_input_stream(path) as stream:
                content: bytes = stream.read()
            return content

        return self._folder.trying(read)


def read_files(system: Any, folder: str) -> dict[str, bytes]:
    """The files in a folder of a pyarrow file system, name to content; empty if there is no such folder."""
    from pyarrow.fs import FileSelector

    read = {}
    for info in system.get_file_info(FileSelector(folder, allow_not_found=True)):
        if info.is_file:
            with system.open_input_stream(info.path) as stream:
                read[info.base_name] = stream.read()
    return read


def age_key(checkpoint: str) -> tuple[int, int, str]:
    """Sorts a trial's checkpoints by age: by run of the search, then by attempt within a run, then by number."""
    folder, name = checkpoint.split("/")[-2:]
    run, _, number = name.removeprefix("checkpoint_").rpartition("-")
    return (int(run) if run else 10**9), int(folder.partition(".")[2] or 0), number


def _is_whole(folder: Path) -> bool:
    """Whether a checkpoint with its training state was written to the end. A kill or a full disk leaves a part.

    This needs no torch. A trial's own process, and a search that is being stopped, have no seconds for its import.
    """
    try:
        json.loads((folder / METRICS).read_text())
        load_yaml(folder / CONFIG)
        weights = folder / WEIGHTS
        with weights.open("rb") as stream:
            header_size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(header_size))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if not name.startswith("__")]
        # torch's files are zip archives, whose directory is at the end.
        return weights.stat().st_size == 8 + header_size + max(ends, default=0) and zipfile.is_zipfile(folder / STATE)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError, AttributeError):
        return False
