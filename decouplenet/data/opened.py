"""The images of a config with their decoded pixels: the data that an engine trains on."""

from __future__ import annotations

from typing import NamedTuple

from decouplenet.config import DataConfig
from decouplenet.data.cache import Pixels, Progress, open_pixels
from decouplenet.data.formats import load_image_sets
from decouplenet.data.image_set import ImageSet


class Data(NamedTuple):
    """The training and validation images of a config, ready to make batches of."""

    train: ImageSet
    val: ImageSet
    train_pixels: Pixels
    val_pixels: Pixels


def open_data(config: DataConfig, progress: Progress | None = None) -> Data:
    """Read a config's annotations and open its decoded pixels. Arguments and errors as for `open_pixels`."""
    train, val = load_image_sets(config)
    train_pixels, val_pixels = (
        open_pixels(images, config.image_size, config.cache, threads=config.workers, progress=progress)
        for images in (train, val)
    )
    return Data(train, val, train_pixels, val_pixels)
