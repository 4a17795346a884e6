"""A large file that is mapped into memory, and has its name only when it is whole and on the disk."""

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


def is_whole(file: Path, shape: Shape) -> bool:
    """Whether the file of such an array of bytes is there and as long as it should be."""
    try:
        return file.stat().st_size == math.prod(shape)
    except FileNotFoundError:
        return False


@contextmanager
def new_file(file: Path, shape: Shape) -> Iterator[NDArray[np.uint8]]:
    """An array to fill, of which `file` is made at the end; for one process at a time.

    It is in another file of the same folder until then, and goes when the filling fails. What processes that were
    killed have left there is made anew.

    Raises:
        InputError: the disk is too small.
    """
    partial = file.with_suffix(".partial")
    for left in (file, partial):
        left.unlink(missing_ok=True)
    needed, free = math.prod(shape), shutil.disk_usage(file.parent).free
    if needed > free:
        raise _too_small(file.parent, needed, f"has {free / 1e9:.1f} GB free")
    try:
        with partial.open("w+b") as out:
            _reserve(out.fileno(), needed, file.parent)
            array = np.memmap(out, np.uint8, mode="r+", shape=shape)
            yield array
            array.flush()
            os.fsync(out.fileno())  # before the name: a machine that loses power keeps no name without its content
        partial.rename(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _reserve(descriptor: int, needed: int, folder: Path) -> None:
    """Take the space before it is written to: a mapped file for which there is none kills the process (SIGBUS)."""
    reserve = getattr(os, "posix_fallocate", None)  # macOS has none
    try:
        if reserve:
            reserve(descriptor, 0, needed)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # which say that the file system cannot
            raise _too_small(folder, needed, f"cannot take them ({error.strerror})") from None


def _too_small(folder: Path, needed: int, but: str) -> InputError:
    return InputError(
        f"data.cache: {needed / 1e9:.1f} GB are needed for decoded images and '{folder}' {but}; "
        "give another folder, or none to decode every time"
    )
