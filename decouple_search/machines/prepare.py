"""Preparations before the first worker starts: read the data, decode the images, get the backbone's weights."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence

import ray
from rich.progress import Progress

from decouple_search.gang.carried import pack_extensions, unpack_extensions
from decouple_search.gang.errors import message_of
from decouplenet.command_line import print_line
from decouplenet.config import Config
from decouplenet.data.cache import open_pixels
from decouplenet.data.formats import load_image_sets
from decouplenet.data.image_set import ImageSet
from decouplenet.errors import InputError
from decouplenet.registration import own_parts


def prepare_data(config: Config, *, decode: bool) -> int:
    """Read the annotations, and decode the images into the cache.

    Faults in the data are reported before any trial starts, and the first trials need not wait for each other.

    Args:
        config: its data section says what to read.
        decode: whether to decode the images.

    Returns:
        The number of validation images.
    """
    train, val = load_image_sets(config.data)
    if decode:
        _decode(train, "train", config)
        _decode(val, "val", config)
    return len(val)


def open_split(config: Config, split: str, *, decode: bool) -> ImageSet:
    """The images of a split, train or val, decoded into the cache if `decode` is set."""
    images = load_image_sets(config.data)[split == "val"]
    if decode:
        _decode(images, split, config)
    return images


def check_networks(configs: Sequence[Config]) -> None:
    """Read or download the backbones' weights once, before every worker tries to, and try the extensions.

    Raises:
        InputError: weights cannot be read, or an extension fails.
    """
    if not any(config.model.pretrained or own_parts(config) for config in configs):
        return
    attempt = ray.remote(num_cpus=0)(try_networks).remote(configs, pack_extensions())
    try:
        ray.get(attempt)
    except InputError as error:
        raise InputError(message_of(error)) from None


def try_networks(configs: Sequence[Config], extensions: bytes) -> None:
    """Build the networks of configs, only to see whether that fails; a Ray task.

    Args:
        configs: the configs.
        extensions: the packed extensions.
    """
    from decouplenet.backbones import build_backbone
    from decouplenet.extension_check import check_extensions

    unpack_extensions(extensions)
    for config in configs:
        if config.model.pretrained:
            build_backbone(config.model.backbone, config.model.pretrained)
        check_extensions(config)


def _decode(images: ImageSet, name: str, config: Config) -> None:
    if config.data.cache != "none" and len(images):
        with decoding_progress(name) as progress:
            size, cache = config.data.image_size, config.data.cache
            open_pixels(images, size, cache, threads=os.cpu_count() or 1, progress=progress)


@contextlib.contextmanager
def decoding_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A callback of (done, count) that shows the progress of decoding, for the time of the context."""
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task(f"decoding {name}")

        def show(done: int, count: int) -> None:
            bar.update(task, completed=done, total=count)
            if done == count:
                print_line(f"decoded    {count} {name} images into the cache")

        yield show
