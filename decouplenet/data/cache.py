"""Decoded pixels: each image is decoded once per machine, into a single file that all workers map into memory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from decouplenet.atomic_files import replace_file
from decouplenet.data.image_set import ImageSet
from decouplenet.data.images.decoding import AS_USUAL, Decoding, decode_square, unreadable
from decouplenet.data.places import Inside, Place, is_address, shown
from decouplenet.data.whole_file import is_complete, new_file
from decouplenet.errors import InputError

Progress = Callable[[int, int], None]
OnBroken = Callable[[int, str], None]
FAULTS = ".broken.json"
"""Suffix of the file, beside that of the decoded pixels, with the faults of broken images by index."""
VERSION = 2
"""Counts changes of what decoding gives for the same file, so that pixels of an earlier version are not used."""
MIN_ADDRESS_THREADS = 16
"""Minimum number of threads to read addresses with. They wait for the network and need no core of their own."""
LOCK_POLL_SECONDS = 0.1


class Pixels(Protocol):
    """Square RGB images by index: `pixels[indices]` is B×S×S×3 uint8, or feature maps, B×h×w×D float16."""

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[Any]: ...


class DecodeEachTime:
    """`Pixels` without a cache."""

    def __init__(self, paths: Sequence[Place], size: int, decoding: Decoding) -> None:
        self._paths, self._size, self._decoding = paths, size, decoding

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        paths = [self._paths[i] for i in indices]
        with ThreadPoolExecutor(threads_for(paths, 1)) as pool:
            return np.stack(list(pool.map(lambda path: decode_square(path, self._size, self._decoding), paths)))


def open_pixels(
    images: ImageSet,
    size: int,
    cache: str,
    *,
    decoding: Decoding = AS_USUAL,
    on_broken: OnBroken | None = None,
    threads: int = 2,
    progress: Progress | None = None,
) -> Pixels:
    """The decoded pixels of an image set at size×size.

    With a cache folder, the first caller on a machine decodes all images into `pixels-<key>.u8` there (N·size²·3
    bytes). Other callers wait for it, and later searches reuse it. The file gets its name only when it is complete on
    the disk. A file of the wrong length is made again. The key is a hash of the decoding and of every file's path,
    size and modification time; an image at an address counts by its name alone, so a change under the same name is
    not noticed.

    Args:
        images: N images.
        size: S.
        cache: a folder, or `none`.
        decoding: how to decode.
        on_broken: called with the index and the fault of each image that cannot be decoded; its pixels are black.
            None to raise the first fault. Without a cache, all images are decoded once to find them.
        threads: threads to decode with. Addresses are read with at least 16.
        progress: called with (done, all) while decoding, and with (0, all) while another process decodes.

    Raises:
        InputError: an image cannot be read or decoded, or the disk is too small for the file.
    """
    if cache == "none" or not len(images):
        if on_broken:
            for i, fault in _decode_all(images.paths, None, size, decoding, threads, progress, skip=True).items():
                on_broken(i, fault)
        return DecodeEachTime(images.paths, size, decoding)
    file = cache_folder(cache) / f"pixels-{pixels_key(images.paths, size, decoding)}.u8"
    shape = (len(images), size, size, 3)
    if not is_complete(file, shape):
        with build_lock(file, (lambda: progress(0, len(images))) if progress else None):
            if not is_complete(file, shape):
                _build(file, images.paths, size, decoding, threads, progress, skip=on_broken is not None)
    for i, fault in _faults(file).items():
        if on_broken is None:
            raise InputError(fault)
        on_broken(i, fault)
    return np.memmap(file, np.uint8, mode="r", shape=shape)


def _build(
    file: Path,
    paths: Sequence[Place],
    size: int,
    decoding: Decoding,
    threads: int,
    progress: Progress | None,
    *,
    skip: bool,
) -> None:
    """Make the file of the decoded pixels and, if images are broken, the file of their faults. See `_decode_all`."""
    faults = file.with_suffix(FAULTS)
    faults.unlink(missing_ok=True)
    with new_file(file, (len(paths), size, size, 3)) as pixels:
        if broken := _decode_all(paths, pixels, size, decoding, threads, progress, skip=skip):
            replace_file(faults, json.dumps(broken))


def _faults(file: Path) -> dict[int, str]:
    """The faults of the broken images of a file of decoded pixels, by index."""
    faults = file.with_suffix(FAULTS)
    return {int(i): fault for i, fault in json.loads(faults.read_text()).items()} if faults.exists() else {}


def threads_for(places: Sequence[Place], threads: int) -> int:
    """The number of threads to read places with: `threads`, or at least 16 if there are addresses."""
    files = (place.file if isinstance(place, Inside) else place for place in places)
    return max(threads, MIN_ADDRESS_THREADS) if any(map(is_address, files)) else threads


def cache_folder(cache: str) -> Path:
    """The cache folder of a config. It is created if needed.

    Raises:
        InputError: the folder cannot be created or written to.
    """
    folder = Path(cache).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"data.cache: cannot make '{folder}' ({error.strerror}); give another folder") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"data.cache: '{folder}' cannot be written to; give another folder")
    return folder


@contextmanager
def build_lock(file: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock beside `file`: a single process of this machine builds the file while the others wait.

    Args:
        file: the file or folder to build.
        waiting: called repeatedly while another process holds the lock.

    Raises:
        InputError: the folder's disk does not support locks.
    """
    # A lock file that only exists, without flock, would outlive a killed process: refuse such disks.
    lock = FileLock(file.with_suffix(".lock"), fallback_to_soft=False)
    try:
        while not lock.is_locked:
            try:
                lock.acquire(timeout=LOCK_POLL_SECONDS, poll_interval=LOCK_POLL_SECONDS / 2)
            except Timeout:  # which is an OSError too
                if waiting:
                    waiting()
    except OSError as error:
        reason = error.strerror
        raise InputError(f"{file.parent}: cannot be locked ({reason}); give a folder on another disk") from None
    try:
        yield
    finally:
        lock.release()


def pixels_key(paths: Sequence[Place], size: int, decoding: Decoding) -> str:
    """The key of the decoded pixels of these images.

    An address counts by its text; whether the image there changed is not checked. The part after `?` counts only if the
    addresses are not distinct without it, because it usually holds a signature that changes daily.
    """
    digest = hashlib.sha256(f"{VERSION} {size} {decoding}".encode())
    addresses = {path for path in paths if isinstance(path, str)}
    name = shown if len({shown(path) for path in addresses}) == len(addresses) else str
    files = dict[Path, str]()
    for path in paths:
        file, part = (path.file, f" {path.part}") if isinstance(path, Inside) else (path, "")
        if isinstance(file, str):
            digest.update(f"{name(file)}{part}\n".encode())
            continue
        if file not in files or not part:
            files[file] = _state(file)
        digest.update(f"{files[file]}{part}\n".encode())
    return digest.hexdigest()[:16]


def _state(file: Path) -> str:
    """What tells a file from another, and from an earlier one with the same name."""
    try:
        stat = file.stat()
    except OSError as error:
        raise InputError(unreadable(file, error)) from None
    return f"{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"


def _decode_all(
    paths: Sequence[Place],
    pixels: NDArray[np.uint8] | None,
    size: int,
    decoding: Decoding,
    threads: int,
    progress: Progress | None,
    *,
    skip: bool,
) -> dict[int, str]:
    """Decode images into an array, or only to find those that cannot be decoded.

    Args:
        paths: N images.
        pixels: N×S×S×3; None if the pixels are not wanted.
        size: S.
        decoding: how to decode.
        threads: threads to decode with.
        progress: called with (done, all).
        skip: whether to go on after an image that cannot be decoded.

    Returns:
        The faults of the images that cannot be decoded, by index.
    """

    def decode(i: int) -> str | None:
        try:
            image = decode_square(paths[i], size, decoding)
        except InputError as error:
            if not skip:
                raise
            return str(error)
        if pixels is not None:
            pixels[i] = image
        return None

    broken = {}
    pool = ThreadPoolExecutor(threads_for(paths, threads))
    try:
        for i, fault in enumerate(pool.map(decode, range(len(paths)))):
            if fault is not None:
                broken[i] = fault
            if progress:
                progress(i + 1, len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    return broken
