"""The images of a config with their decoded pixels: the data that an engine trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from decouplenet.config import DataConfig
from decouplenet.data.cache import Pixels, Progress, open_pixels
from decouplenet.data.formats import load_image_sets
from decouplenet.data.image_set import ImageSet
from decouplenet.data.images.decoding import Decoding
from decouplenet.errors import InputError

if TYPE_CHECKING:
    from torch import nn  # a search's driver reads data, and needs no torch for it


class Data(NamedTuple):
    """The training and validation images of a config, ready to make batches of."""

    train: ImageSet
    val: ImageSet
    train_pixels: Pixels
    val_pixels: Pixels
    broken: int = 0
    """Number of images that were left out because they cannot be decoded (`data.broken` skip)."""
    backbone: tuple[nn.Module, int] | None = None
    """The frozen backbone and its channels, if its feature maps stand in place of pixels; else None."""


class OpenedSplit(NamedTuple):
    """The images of a split whose pixels are there."""

    images: ImageSet
    pixels: Pixels
    broken: tuple[str, ...]
    """The faults of the images that were left out."""


class SomePixels:
    """Some of the images of `Pixels`, by their own indices."""

    def __init__(self, pixels: Pixels, indices: NDArray[np.int64]) -> None:
        self._pixels, self._indices = pixels, indices

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._pixels[self._indices[indices]]


def open_data(config: DataConfig, progress: Progress | None = None) -> Data:
    """Read a config's annotations and open its decoded pixels. Arguments and errors as for `open_split`."""
    train, val = load_image_sets(config)
    opened = [open_split(images, config, name, progress=progress) for images, name in ((train, "train"), (val, "val"))]
    (train, train_pixels, broken_train), (val, val_pixels, broken_val) = opened
    return Data(train, val, train_pixels, val_pixels, len(broken_train) + len(broken_val))


def open_split(
    images: ImageSet, config: DataConfig, split: str, *, threads: int | None = None, progress: Progress | None = None
) -> OpenedSplit:
    """The decoded pixels of a split, without the images that `data.broken` leaves out.

    Args:
        images: the images.
        config: says how to decode, and what to do with images that cannot be decoded.
        split: train, val or test, for messages.
        threads: threads to decode with; `data.workers` by default.
        progress: as for `open_pixels`.

    Raises:
        InputError: as for `open_pixels`, or more images than `data.broken_share` cannot be decoded.
    """
    faults: dict[int, str] = {}
    pixels = open_pixels(
        images,
        config.image_size,
        config.cache,
        decoding=Decoding.of(config),
        on_broken=faults.__setitem__ if config.broken == "skip" else None,
        threads=threads or config.workers,
        progress=progress,
    )
    if not faults:
        return OpenedSplit(images, pixels, ())
    if len(faults) > config.broken_share * len(images):
        reason = too_many_broken(len(faults), len(images), split, config.broken_share)
        raise InputError(f"{reason}; the first: {next(iter(faults.values()))}")
    whole = np.setdiff1d(np.arange(len(images)), list(faults))
    return OpenedSplit(images.subset(whole), SomePixels(pixels, whole), tuple(faults.values()))


def too_many_broken(count: int, images: int, split: str, share: float) -> str:
    """What to say where more images of a split cannot be decoded than `data.broken_share`."""
    return f"{count} of {images} {split} images cannot be decoded, more than data.broken_share {share:g} allows"
