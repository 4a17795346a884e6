"""Decoded pixels: each image is decoded once a machine, into one file that all workers map into memory."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Place, is_address, read_bytes, shown
from decouplenet.data.whole_file import is_whole, new_file
from decouplenet.errors import InputError

Progress = Callable[[int, int], None]
AT_ONCE = 16
"""Addresses that are read at a time, if not more: their threads wait for the network, not for a core."""


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

    With a cache folder the first caller on a machine decodes all images there, into `pixels-<key>.u8`
    (N·size²·3 bytes, the key made of every file's path, length and time); the others wait for it, and later
    searches find it. It appears under its name only when it is complete and on the disk; one that is not as long as
    it should be is made anew. Of an image at an address only the name is in the key: one that is changed under the
    same name is not noticed.

    Args:
        images: N images.
        size: S.
        cache: a folder, or `none`.
        threads: threads to decode with; of addresses, 16 are read at a time if that is more.
        progress: called with (done, all) while decoding, and with (0, all) while another process does.

    Raises:
        InputError: an image cannot be read or decoded, or the disk is too small for the file.
    """
    if cache == "none" or not len(images):
        return DecodeEachTime(images.paths, size)
    folder = cache_folder(cache)
    file = folder / f"pixels-{_key(images.paths, size)}.u8"
    shape = (len(images), size, size, 3)
    if not is_whole(file, shape):
        with only_one(file, (lambda: progress(0, len(images))) if progress else None):
            if not is_whole(file, shape):
                with new_file(file, shape) as pixels:
                    _decode_all(images.paths, pixels, threads, progress)
    return np.memmap(file, np.uint8, mode="r", shape=shape)


def threads_for(places: Sequence[Place], threads: int) -> int:
    """How many threads to read places with, where `threads` is what the cores are good for."""
    return max(threads, AT_ONCE) if any(map(is_address, places)) else threads


def cache_folder(cache: str) -> Path:
    """The cache folder of a config, made if it is not there.

    Raises:
        InputError: it cannot be made or written to.
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
def only_one(file: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock beside `file`, so that one process of this machine makes it while the others wait.

    Args:
        file: what is to be made.
        waiting: called now and then while another process holds the lock.

    Raises:
        InputError: the folder's disk keeps no locks.
    """
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(file.with_suffix(".lock").open("w"))
            while not _locked(lock):
                if waiting:
                    waiting()
                time.sleep(0.1)
        except OSError as error:
            reason = error.strerror
            raise InputError(f"{file.parent}: cannot be locked ({reason}); give a folder on another disk") from None
        yield


def _locked(file: TextIO) -> bool:
    """Whether this process now has a file's lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _key(paths: Sequence[Place], size: int) -> str:
    """What the decoded pixels of these images are found by.

    An address stands for itself: nobody is asked whether the image there has changed. What comes after its `?` counts
    only where it alone tells the images apart, since signatures are another each day.
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
    return f"{shown(path)}: cannot be read ({error.strerror or error}); put it there or take it out of the list"


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
        path: where it is.
        size: of the square.
        content: of the file, where it is read already.

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
        raise InputError(
            f"{shown(path)}: cannot be decoded ({reason}); replace it or take it out of the list"
        ) from None


def as_rgb(image: Any) -> Any:
    """A PIL image in RGB.

    Raises:
        ValueError: the range of its pixels is unknown.
    """
    from PIL import Image

    if image.mode.startswith("I;16"):  # which Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of mode {image.mode}, whose range is unknown; save it with 8 or 16 bits")
    return image.convert("RGB")
