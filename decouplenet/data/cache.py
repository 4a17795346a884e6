"""Decoded pixels: each image is decoded once per machine, into a single file that all workers map into memory."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Place, is_address, read_bytes, shown
from decouplenet.data.whole_file import is_complete, new_file
from decouplenet.errors import InputError

Progress = Callable[[int, int], None]
MIN_ADDRESS_THREADS = 16
"""Minimum number of threads to read addresses with. They wait for the network and need no core of their own."""
LOCK_POLL_SECONDS = 0.1


class Pixels(Protocol):
    """Square RGB images by index: `pixels[indices]` is B×S×S×3 uint8."""

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.uint8]: ...


class DecodeEachTime:
    """`Pixels` without a cache."""

    def __init__(self, paths: Sequence[Place], size: int) -> None:
        self._paths, self._size = paths, size

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        paths = [self._paths[i] for i in indices]
        with ThreadPoolExecutor(threads_for(paths, 1)) as pool:
            return np.stack(list(pool.map(lambda path: decode_square(path, self._size), paths)))


def open_pixels(
    images: ImageSet, size: int, cache: str, *, threads: int = 2, progress: Progress | None = None
) -> Pixels:
    """The decoded pixels of an image set at size×size.

    With a cache folder, the first caller on a machine decodes all images into `pixels-<key>.u8` there (N·size²·3
    bytes). Other callers wait for it, and later searches reuse it. The file gets its name only when it is complete on
    the disk. A file of the wrong length is made again. The key is a hash of every file's path, size and modification
    time; an image at an address counts by its name alone, so a change under the same name is not noticed.

    Args:
        images: N images.
        size: S.
        cache: a folder, or `none`.
        threads: threads to decode with. Addresses are read with at least 16.
        progress: called with (done, all) while decoding, and with (0, all) while another process decodes.

    Raises:
        InputError: an image cannot be read or decoded, or the disk is too small for the file.
    """
    if cache == "none" or not len(images):
        return DecodeEachTime(images.paths, size)
    folder = cache_folder(cache)
    file = folder / f"pixels-{_key(images.paths, size)}.u8"
    shape = (len(images), size, size, 3)
    if not is_complete(file, shape):
        with build_lock(file, (lambda: progress(0, len(images))) if progress else None):
            if not is_complete(file, shape):
                with new_file(file, shape) as pixels:
                    _decode_all(images.paths, pixels, threads, progress)
    return np.memmap(file, np.uint8, mode="r", shape=shape)


def threads_for(places: Sequence[Place], threads: int) -> int:
    """The number of threads to read places with: `threads`, or at least 16 if there are addresses."""
    return max(threads, MIN_ADDRESS_THREADS) if any(map(is_address, places)) else threads


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


def _key(paths: Sequence[Place], size: int) -> str:
    """The key of the decoded pixels of these images.

    An address counts by its text; whether the image there changed is not checked. The part after `?` counts only if the
    addresses are not distinct without it, because it usually holds a signature that changes daily.
    """
    digest = hashlib.sha256(f"{size}".encode())
    addresses = {path for path in paths if isinstance(path, str)}
    name = shown if len({shown(path) for path in addresses}) == len(addresses) else str
    for path in paths:
        if isinstance(path, str):
            digest.update(f"{name(path)}\n".encode())
            continue
        try:
            stat = path.stat()
        except OSError as error:
            raise InputError(_unreadable(path, error)) from None
        digest.update(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _unreadable(path: Place, error: OSError) -> str:
    return f"{shown(path)}: cannot be read ({error.strerror or error}); put it there or leave it out"


def _decode_all(paths: Sequence[Place], pixels: NDArray[np.uint8], threads: int, progress: Progress | None) -> None:
    def decode(i: int) -> None:
        pixels[i] = decode_square(paths[i], pixels.shape[1])

    pool = ThreadPoolExecutor(threads_for(paths, threads))
    try:
        for done, _ in enumerate(pool.map(decode, range(len(paths))), start=1):
            if progress:
                progress(done, len(paths))
    finally:
        pool.shutdown(cancel_futures=True)


def decode_square(path: Place, size: int, content: bytes | None = None) -> NDArray[np.uint8]:
    """Decode an image and warp it to a square, as the paper does: size×size×3, RGB, uint8.

    Args:
        path: the image's file or address.
        size: side of the square in pixels.
        content: the file's content, if it was read already.

    Raises:
        InputError: the file is missing or is not an image.
    """
    from PIL import Image

    if content is None and is_address(path):
        try:
            content = read_bytes(path)
        except OSError as error:
            raise InputError(_unreadable(path, error)) from None
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            image.draft("RGB", (size, size))  # lets the JPEG decoder skip detail that the warp would drop
            return np.asarray(as_rgb(image).resize((size, size), Image.Resampling.BILINEAR))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{shown(path)}: cannot be decoded ({reason}); replace it or leave it out") from None


def as_rgb(image: Any) -> Any:
    """A PIL image in RGB.

    Raises:
        ValueError: the value range of its pixels is unknown.
    """
    from PIL import Image

    if image.mode.startswith("I;16"):  # Pillow's own conversion would clip values at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have mode {image.mode} with an unknown range; save it with 8 or 16 bits")
    return image.convert("RGB")
