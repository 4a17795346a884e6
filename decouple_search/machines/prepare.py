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
from decouple_search.machines.timing import DataSize
from decouplenet.command_line import print_line
from decouplenet.config import Config
from decouplenet.data.formats import load_image_sets, load_split
from decouplenet.data.image_set import ImageSet
from decouplenet.data.opened import open_split
from decouplenet.data.reporter import Reporter
from decouplenet.errors import InputError
from decouplenet.registration import own_parts

MAX_NOTES = 8
"""Maximum number of notes about the data, and of images that are left out, that are printed."""


def prepare_data(config: Config, *, decode: bool) -> DataSize:
    """Read the annotations, and decode the images into the cache.

    Faults in the data are reported before any trial starts, and the first trials need not wait for each other. Notes
    of the readers, such as the separator of labels, are printed.

    Args:
        config: its data section says what to read.
        decode: whether to decode the images.
    """
    notes: list[str] = []
    train, val = load_image_sets(config.data, Reporter(note=notes.append))
    for note in notes[:MAX_NOTES]:
        print_line(f"data       {note}")
    if len(notes) > MAX_NOTES:
        print_line(f"data       {len(notes) - MAX_NOTES} more notes: `python -m decouplenet.data check` prints them")
    if decode:
        _decode(train, "train", config)
        _decode(val, "val", config)
    return DataSize(len(train), len(val), len(train.class_names))


def opened_images(config: Config, split: str, *, decode: bool) -> ImageSet:
    """The images of a split that a scoring works on.

    Args:
        config: its data section says what to read.
        split: train, val or test.
        decode: whether to decode them into the cache. With `data.broken` skip they are decoded in any case, to know
            which are left out.
    """
    images = load_split(config.data, split)
    return _decode(images, split, config) if decode or config.data.broken == "skip" else images


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


def measured_maps(backbones: Sequence[str], size: int) -> int:
    """The bytes of the feature maps of an image, over all of these backbones."""
    return int(ray.get(ray.remote(num_cpus=0)(_measure_maps).remote(backbones, size, pack_extensions())))


def _measure_maps(backbones: Sequence[str], size: int, extensions: bytes) -> int:
    from decouplenet.frozen import map_bytes  # the driver imports no torch

    unpack_extensions(extensions)
    return sum(map_bytes(backbone, size) for backbone in backbones)


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


def _decode(images: ImageSet, split: str, config: Config) -> ImageSet:
    """Decode images into the cache. Returns those that can be decoded, and prints the others."""
    if not len(images) or (config.data.cache == "none" and config.data.broken == "fail"):
        return images
    with decoding_progress(split) as progress:
        opened = open_split(images, config.data, split, threads=os.cpu_count() or 1, progress=progress)
    if opened.broken:
        count, listed = len(opened.broken), opened.broken[:MAX_NOTES]
        print_line(f"data       {count} of {len(images)} {split} images cannot be decoded and are left out:")
        for fault in listed:
            print_line(f"             {fault}")
        if count > len(listed):
            print_line(f"             and {count - len(listed)} more: `python -m decouplenet.data check` lists them")
    return opened.images


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
