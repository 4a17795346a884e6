"""What a search and a training see to before their first worker starts: readable data, decoded images, weights."""

from __future__ import annotations

import os

import ray

from decouple_search.gang.gang import cause_of
from decouple_search.ray_tune.callbacks.progress import decoding_progress
from decouplenet.config import Config
from decouplenet.data.cache import open_pixels
from decouplenet.data.formats import load_image_sets
from decouplenet.data.image_set import ImageSet
from decouplenet.errors import InputError


def prepare_data(config: Config, *, decode: bool) -> int:
    """Read the annotations, and decode the images into the cache, before any trial needs them.

    What is wrong with the data is said at once, and the first trials do not wait for each other's decoding.

    Returns:
        How many validation images there are.
    """
    train, val = load_image_sets(config.data)
    if decode:
        _decode(train, "train", config)
        _decode(val, "val", config)
    return len(val)


def open_split(config: Config, split: str, *, decode: bool) -> ImageSet:
    """The images of one split, train or val, decoded into the cache where asked for."""
    images = load_image_sets(config.data)[split == "val"]
    if decode:
        _decode(images, split, config)
    return images


def _decode(images: ImageSet, name: str, config: Config) -> None:
    if config.data.cache != "none" and len(images):
        with decoding_progress(name) as progress:
            size, cache = config.data.image_size, config.data.cache
            open_pixels(images, size, cache, threads=os.cpu_count() or 1, progress=progress)


def check_weights(config: Config) -> None:
    """Read or download the backbone's weights once, before a trial on every worker tries to."""
    if config.model.pretrained:
        attempt = ray.remote(num_cpus=0)(build_backbone_of).remote(config)
        try:
            ray.get(attempt)
        except InputError as error:
            raise InputError(cause_of(error)) from None


def build_backbone_of(config: Config) -> None:
    """Build a config's backbone, for the errors alone."""
    from decouplenet.backbones import build_backbone

    build_backbone(config.model.backbone, config.model.pretrained)
