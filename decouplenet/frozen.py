"""A frozen backbone and its feature maps: the data that a head alone is trained on (`train.freeze_backbone`).

The backbone is in evaluation mode, so its map of an image never changes. The maps are computed once per machine, by
all workers there together, and kept in the cache folder as 16-bit floats. An engine then takes them in place of images.

Shapes: N images, D channels, h×w the size of the backbone's map; S the side of the images.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from decouplenet.backbones import build_backbone
from decouplenet.config import Config
from decouplenet.data.cache import Pixels, Progress, cache_folder, pixels_key
from decouplenet.data.holdout import stratified_parts
from decouplenet.data.image_set import ImageSet
from decouplenet.data.images.decoding import Decoding
from decouplenet.data.opened import Data, SomePixels, open_data
from decouplenet.data.shared_array import FLOAT16_BYTES, open_shared
from decouplenet.data.transforms import normalise
from decouplenet.errors import InputError
from decouplenet.scoring import memory_errors, takes_channels_last

VERSION = 1
"""Counts changes of the maps of the same weights and images, so that those of an earlier version are not used."""
ROWS = 32
"""Images of a chunk: a process computes their maps in one batch."""


def open_training_data(config: Config, device: str | torch.device = "cpu", progress: Progress | None = None) -> Data:
    """The data of a training: decoded images or, with `train.freeze_backbone`, feature maps and their backbone.

    Args:
        config: the training's configuration.
        device: where the backbone computes the maps, if they are not there yet.
        progress: called with (complete, all) while images are decoded or their maps computed.

    Raises:
        InputError: as for `open_data` and `build_backbone`, or the disk is too small for the maps.
        TrainingFailed: memory ran out.
    """
    data = open_data(config.data, progress)
    if not config.train.freeze_backbone:
        return data
    if config.train.map_share < 1:
        data = _part(data, config.train.map_share)
    device = torch.device(device)
    module, channels = build_backbone(config.model.backbone, config.model.pretrained)
    module = module.to(device).eval().requires_grad_(False)
    with memory_errors(config):
        train, val = (
            _feature_maps(module, images, pixels, config, device, progress)
            for images, pixels in ((data.train, data.train_pixels), (data.val, data.val_pixels))
        )
    return data._replace(train_pixels=train, val_pixels=val, backbone=(module, channels))


def _part(data: Data, share: float) -> Data:
    """A share of the images of both splits, with its share of each class. It depends on the labels alone."""
    train, val = (
        np.flatnonzero(stratified_parts(images.targets, [share, 1 - share]) == 0) for images in (data.train, data.val)
    )
    if len(train) < 2 or (len(data.val) and not len(val)):
        left = f"{len(train)} training and {len(val)} validation images"
        raise InputError(f"train.map_share: {share:g} leaves {left}; give a larger share")
    return data._replace(
        train=data.train.subset(train),
        val=data.val.subset(val),
        train_pixels=SomePixels(data.train_pixels, train),
        val_pixels=SomePixels(data.val_pixels, val),
    )


def map_bytes(backbone: str, size: int) -> int:
    """The bytes of a backbone's map of an S×S image.

    Raises:
        InputError: the backbone cannot be built.
    """
    with torch.device("meta"):  # shapes without memory
        module, _ = build_backbone(backbone, pretrained=False)
    return FLOAT16_BYTES * math.prod(map_shape(module, size, torch.device("meta")))


def map_shape(backbone: nn.Module, size: int, device: torch.device) -> tuple[int, int, int]:
    """D, h and w of a backbone's maps of S×S images."""
    with torch.inference_mode():
        _, channels, height, width = backbone(torch.zeros(1, 3, size, size, device=device)).shape
    return channels, height, width


def _feature_maps(
    backbone: nn.Module,
    images: ImageSet,
    pixels: Pixels,
    config: Config,
    device: torch.device,
    progress: Progress | None,
) -> NDArray[np.float16]:
    """The maps of N images, N×h×w×D (channels last, as the pixels)."""
    channels, height, width = map_shape(backbone, config.data.image_size, device)
    key = hashlib.sha256(f"{VERSION} {_weights_key(backbone, config)} ".encode())
    key.update(pixels_key(images.paths, config.data.image_size, Decoding.of(config.data)).encode())
    file = cache_folder(config.data.cache) / f"features-{key.hexdigest()[:16]}.f16"
    shape = (len(images), height, width, channels)
    if not len(images):
        return np.empty(shape, np.float16)
    channels_last = takes_channels_last(backbone, device, "fp32")

    def compute(rows: slice) -> NDArray[np.float16]:
        batch = torch.from_numpy(pixels[np.arange(rows.start, rows.stop)]).permute(0, 3, 1, 2).to(device)
        with torch.inference_mode():
            maps = backbone(normalise(batch if channels_last else batch.contiguous()))
        return _as_half(maps, config).permute(0, 2, 3, 1).cpu().numpy()

    return open_shared(file, shape, compute, rows=ROWS, what="feature maps", progress=progress)


def _as_half(maps: Tensor, config: Config) -> Tensor:
    half = maps.half()
    if not torch.isfinite(half).all():
        raise InputError(
            f"model.backbone: the feature maps of {config.model.backbone} do not fit into 16-bit floats; set "
            "train.freeze_backbone to false"
        )
    return half


def _weights_key(backbone: nn.Module, config: Config) -> str:
    """What tells a backbone with its weights from another."""
    digest = hashlib.sha256(config.model.backbone.encode())
    for name, tensor in backbone.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
