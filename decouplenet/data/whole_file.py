"""A large array in a file that is mapped into memory. The file gets its name only when it is complete on the disk."""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decouplenet.errors import InputError

Shape = tuple[int, int, int, int]
DECODED = "decoded images"


def is_complete(file: Path, shape: Shape) -> bool:
    """Whether the file exists and has the size of a byte array of this shape."""
    try:
        return file.stat().st_size == math.prod(shape)
    except FileNotFoundError:
        return False


@contextmanager
def new_file(file: Path, shape: Shape) -> Iterator[NDArray[np.uint8]]:
    """Context that gives an array to fill, and makes `file` of it at the end. Only one process may call it at a time.

    Until then the array is in a partial file in the same folder, which is removed if the filling fails. An incomplete
    `file` or a partial file left by a killed process is removed first.

    Raises:
        InputError: the disk has too little space.
    """
    partial = file.with_suffix(".partial")
    for leftover in (file, partial):
        leftover.unlink(missing_ok=True)
    try:
        with partial.open("w+b") as out:
            reserve(out.fileno(), math.prod(shape), file.parent, DECODED)
            array = np.memmap(out, np.uint8, mode="r+", shape=shape)
            yield array
            array.flush()
            os.fsync(out.fileno())  # before the rename, so that a power failure never leaves the name without content
        partial.rename(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def reserve(descriptor: int, needed: int, folder: Path, what: str) -> None:
    """Reserve space for a file before writing: writing to a mapped file on a full disk kills the process (SIGBUS).

    Args:
        descriptor: of the file.
        needed: the file's size in bytes.
        folder: where it is.
        what: what it holds, for messages.

    Raises:
        InputError: the disk has too little space.
    """
    if needed > (free := shutil.disk_usage(folder).free):
        raise _too_small(folder, needed, what, f"has {free / 1e9:.1f} GB free")
    allocate = getattr(os, "posix_fallocate", None)  # macOS does not have it
    try:
        if allocate:
            allocate(descriptor, 0, needed)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # the file system cannot reserve space
            raise _too_small(folder, needed, what, f"cannot store them ({error.strerror})") from None


def _too_small(folder: Path, needed: int, what: str, problem: str) -> InputError:
    instead = ", or none to decode every time" if what == DECODED else ""
    return InputError(
        f"data.cache: {what} need {needed / 1e9:.1f} GB, but '{folder}' {problem}; give another folder{instead}"
    )
