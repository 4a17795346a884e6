"""A large array in a file that the processes of a machine fill together, chunk by chunk.

Each process takes chunks that no other process has. A killed process loses only the chunk that it was filling: its
locks end with it, and the chunks that are complete stay. The file gets its name when all chunks are complete.
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.cache import LOCK_POLL_SECONDS, Progress, build_lock
from decouplenet.data.whole_file import Shape, is_complete, reserve

FLOAT16_BYTES = 2
_COMPLETE = b"\1"


def open_shared(
    file: Path,
    shape: Shape,
    compute: Callable[[slice], NDArray[np.float16]],
    *,
    rows: int,
    what: str,
    progress: Progress | None = None,
) -> NDArray[np.float16]:
    """An array of 16-bit floats, mapped into memory read-only. If it is not there, all callers compute it together.

    Args:
        file: the array's file. Its name must say what it holds, because a file of the right size is taken as it is.
        shape: N×h×w×D.
        compute: gives the values of a slice of the N rows. It must give the same in every process.
        rows: the number of rows of a chunk.
        what: what the array holds, for messages.
        progress: called with (complete, all) rows after each chunk, and while other processes compute.

    Raises:
        InputError: the disk is too small for the array.
    """
    in_bytes = (*shape[:-1], shape[-1] * FLOAT16_BYTES)
    if not is_complete(file, in_bytes):
        _build(file, shape, compute, rows, what, progress)
    return np.memmap(file, np.float16, mode="r", shape=shape)


def _build(
    file: Path,
    shape: Shape,
    compute: Callable[[slice], NDArray[np.float16]],
    rows: int,
    what: str,
    progress: Progress | None,
) -> None:
    in_bytes = (*shape[:-1], shape[-1] * FLOAT16_BYTES)
    partial, marks = file.with_suffix(".partial"), file.with_suffix(".chunks")
    with build_lock(file):
        if is_complete(file, in_bytes):
            return
        marking = _opened(partial, marks, math.prod(in_bytes), what)
    with marking:
        array = np.memmap(partial, np.float16, mode="r+", shape=shape)
        chunks = _Chunks(marking.fileno(), -(-shape[0] // rows))

        def store(chunk: int) -> None:
            chosen = slice(chunk * rows, min((chunk + 1) * rows, shape[0]))
            array[chosen] = compute(chosen)
            array.flush()  # before the mark, so that a power failure never leaves the mark without the values

        while missing := chunks.missing():
            filled = False
            for chunk in missing:
                filled |= chunks.fill(chunk, store)
                if progress:
                    progress(min(shape[0], rows * (chunks.count - len(chunks.missing()))), shape[0])
            if not filled:  # other processes have all that is missing
                time.sleep(LOCK_POLL_SECONDS)
        with build_lock(file):
            if not is_complete(file, in_bytes):
                partial.rename(file)
                marks.unlink()


def _opened(partial: Path, marks: Path, size: int, what: str) -> BinaryIO:
    """The file of marks beside a partial array of `size` bytes. Both are made if they are not there."""
    with _read_write(partial) as made:
        if os.fstat(made.fileno()).st_size < size:  # else another process has reserved it, and may be writing
            marks.unlink(missing_ok=True)
            reserve(made.fileno(), size, partial.parent, what)
            made.truncate(size)
    return _read_write(marks)


def _read_write(file: Path) -> BinaryIO:
    return os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o644), "r+b")  # in mode `a`, Linux would only append


class _Chunks:
    """Which chunks are complete, by a byte each in the file of marks, and which are taken, by locks on these bytes.

    The locks of a process end when it closes the file or dies.
    """

    def __init__(self, descriptor: int, count: int) -> None:
        self._descriptor, self.count = descriptor, count

    def missing(self) -> list[int]:
        """The numbers of the chunks that are not complete."""
        marks = os.pread(self._descriptor, self.count, 0).ljust(self.count, b"\0")
        return [chunk for chunk, mark in enumerate(marks) if mark != _COMPLETE[0]]

    def fill(self, chunk: int, store: Callable[[int], None]) -> bool:
        """Store a chunk and mark it as complete, unless another process has it or has completed it."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, chunk)
        except OSError:
            return False
        try:
            if os.pread(self._descriptor, 1, chunk) == _COMPLETE:
                return False
            store(chunk)
            os.pwrite(self._descriptor, _COMPLETE, chunk)
            return True
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, chunk)
