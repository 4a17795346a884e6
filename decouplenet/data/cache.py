"""Decoded pixels: each image is decoded once a machine, into one file that all workers map into memory."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from decouplenet.config import DataConfig
from decouplenet.data.image_set import ImageSet, load_image_sets
from decouplenet.data.places import Place, read_bytes, shown
from decouplenet.errors import InputError

Progress = Callable[[int, int], None]


class Pixels(Protocol):
    """Square RGB images by index: `pixels[indices]` is B×S×S×3 uint8."""

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.uint8]: ...


class DecodeEachTime:
    """`Pixels` without a cache."""

    def __init__(self, paths: Sequence[Place], size: int) -> None:
        self._paths, self._size = paths, size

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([decode_square(self._paths[i], self._size) for i in indices])


class Data(NamedTuple):
    """The images of a config, ready to make batches of."""

    train: ImageSet
    val: ImageSet
    train_pixels: Pixels
    val_pixels: Pixels


def open_data(config: DataConfig, progress: Progress | None = None) -> Data:
    """Read a config's annotations and open its decoded pixels; arguments and errors as `open_pixels`."""
    train, val = load_image_sets(config)
    opened = [
        open_pixels(images, config.image_size, config.cache, threads=config.workers, progress=progress)
        for images in (train, val)
    ]
    return Data(train, val, *opened)


def open_pixels(
    images: ImageSet, size: int, cache: str, *, threads: int = 2, progress: Progress | None = None
) -> Pixels:
    """The decoded pixels of an image set at size×size.

    With a cache folder the first caller on a machine decodes all images there, into `pixels-<key>.u8`
    (N·size²·3 bytes, the key made of every file's path, length and time); the others wait for it, and later
    searches find it. It appears under its name only when it is complete.

    Args:
        images: N images.
        size: S.
        cache: a folder, or `none`.
        threads: threads to decode with.
        progress: called with (done, all) while decoding, and with (0, all) while another process does.

    Raises:
        InputError: an image cannot be decoded, or the disk is too small for the file.
    """
    if cache == "none" or not len(images):
        return DecodeEachTime(images.paths, size)
    folder = cache_folder(cache)
    file = folder / f"pixels-{_key(images.paths, size)}.u8"
    shape = (len(images), size, size, 3)
    if not file.exists():
        with only_one(file, (lambda: progress(0, len(images))) if progress else None):
            if not file.exists():
                _decode_all(images.paths, shape, file, threads, progress)
    return np.memmap(file, np.uint8, mode="r", shape=shape)


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
    """
    with file.with_suffix(".lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waiting:
                    waiting()
                time.sleep(0.1)
        yield


def _key(paths: Sequence[Place], size: int) -> str:
    digest = hashlib.sha256(f"{size}".encode())
    for path in paths:
        if isinstance(path, str):  # an address, of which nothing but the name is asked
            digest.update(f"{shown(path)}\n".encode())
            continue
        try:
            stat = path.stat()
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); put it there or take it out of the list"
            ) from None
        digest.update(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _decode_all(
    paths: Sequence[Place],
    shape: tuple[int, int, int, int],
    file: Path,
    threads: int,
    progress: Progress | None,
) -> None:
    needed, free = int(np.prod(shape)), shutil.disk_usage(file.parent).free
    if needed > free:
        raise InputError(
            f"data.cache: {needed / 1e9:.1f} GB are needed for decoded images and '{file.parent}' has "
            f"{free / 1e9:.1f} GB free; give another folder, or none to decode every time"
        )
    partial = file.with_suffix(".partial")
    pixels = np.memmap(partial, np.uint8, mode="w+", shape=shape)
    size = shape[1]

    def decode(i: int) -> None:
        pixels[i] = decode_square(paths[i], size)

    pool = ThreadPoolExecutor(threads)
    try:
        for done, _ in enumerate(pool.map(decode, range(len(paths))), start=1):
            if progress:
                progress(done, len(paths))
    except BaseException:
        pool.shutdown(cancel_futures=True)
        partial.unlink()
        raise
    pool.shutdown()
    pixels.flush()
    partial.rename(file)


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

    try:
        if content is None and isinstance(path, str):
            content = read_bytes(path)
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
