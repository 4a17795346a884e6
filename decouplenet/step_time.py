"""Seconds per image of a training and of an evaluation, timed on a few random images. Reads no data and no weights."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from decouplenet.backbones import build_backbone
from decouplenet.config import Config, ScalingConfig
from decouplenet.data.image_set import ImageSet
from decouplenet.data.opened import Data
from decouplenet.engine import Engine
from decouplenet.frozen import map_shape

WARM_UP = 2
"""Images of the first step, in which torch chooses kernels; the least that batch normalisation takes."""
SECONDS = 0.5
"""About the time of the timed steps."""
MOST_IMAGES = 128
"""The most images that are timed."""


class ImageSeconds(NamedTuple):
    """Seconds per image on a single worker."""

    train: float
    """Of a training step."""
    evaluate: float
    """Of an evaluation. It is also about the time of a backbone's map of an image."""


def seconds_per_image(config: Config, num_classes: int, device: str | torch.device = "cpu") -> ImageSeconds:
    """Time a configuration on random images or, with `train.freeze_backbone`, on random feature maps.

    Args:
        config: the configuration. Its weights are random, which costs the same.
        num_classes: C.
        device: where to train.

    Raises:
        InputError: the network cannot be built.
        TrainingFailed: memory ran out.
    """
    device = torch.device(device)
    if not config.train.freeze_backbone:  # else the backbone is not built
        model, train = replace(config.model, pretrained=False), replace(config.train, head_epochs=0)
        config = replace(config, model=model, train=train)
    few = _timed(config, num_classes, WARM_UP, WARM_UP, device)
    count = min(int(SECONDS / few.train), MOST_IMAGES)
    if count <= WARM_UP:
        return few
    batch = min(count, max(WARM_UP, config.train.batch_size // config.scaling.workers_per_trial))
    return _timed(config, num_classes, count // batch * batch, batch, device)


def _timed(config: Config, num_classes: int, count: int, batch: int, device: torch.device) -> ImageSeconds:
    """Seconds per image over `count` images in batches."""
    # These keys change little on a single worker, or, compiled, take longer to try than all steps here.
    plain = replace(config.train, batch_size=batch, accumulation=1, strategy="ddp", compile=False)
    config = replace(config, train=plain, scaling=ScalingConfig())
    engine = Engine(config, random_data(config, num_classes, count), device=device)
    try:
        for _ in range(2):  # torch chooses kernels in the first round
            trained = engine.train_epoch()
            measured = engine.evaluate()
    finally:
        engine.close()
    return ImageSeconds(trained["train_seconds"] / count, measured["eval_seconds"] / count)


def random_data(config: Config, num_classes: int, count: int) -> Data:
    """Images of noise or, with `train.freeze_backbone`, feature maps of noise. Every class has positives.

    Args:
        config: the configuration that trains on them.
        num_classes: C.
        count: the number of training images, which are the validation images too.
    """
    rng, size = np.random.default_rng(0), config.data.image_size
    names = tuple(map(str, range(num_classes)))
    targets = (np.add.outer(np.arange(count), np.arange(num_classes)) % 2).astype(np.uint8)
    images = ImageSet(names[:1] * count, targets, names)
    if not config.train.freeze_backbone:
        pixels = rng.integers(0, 256, (count, size, size, 3), np.uint8)
        return Data(images, images, pixels, pixels)
    with torch.device("meta") as meta:  # shapes without memory
        channels, height, width = map_shape(build_backbone(config.model.backbone, pretrained=False)[0], size, meta)
    maps = rng.random((count, height, width, channels), np.float32).astype(np.float16)
    return Data(images, images, maps, maps, backbone=(nn.Identity(), channels))
