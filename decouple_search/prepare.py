"""What a search and a training see to before their first worker starts: readable data, decoded images, weights."""

from __future__ import annotations

import os

import ray

from decouple_search.gang import cause_of
from decouple_search.progress import decoding_progress
from decouplenet.config import Config
from decouplenet.data.cache import open_pixels
from decouplenet.data.image_set import load_image_sets
from decouplenet.errors import InputError


def prepare_data(config: Config, *, decode: bool) -> None:
    """Read the annotations, and decode the images into the cache, before any trial needs them.

    What is wrong with the data is said at once, and the first trials do not wait for each other's decoding.
    """
    train, val = load_image_sets(config.data)
    if not decode or config.data.cache == "none":
        return
    for name, images in (("train", train), ("val", val)):
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
