"""A trial step with the extensions of a config, so that a mistake in a user's own code shows before any training."""

from __future__ import annotations

from dataclasses import replace

import torch

from decouplenet.backbones import build_backbone
from decouplenet.config import Config
from decouplenet.errors import InputError
from decouplenet.extensions import BACKBONES, failure_of
from decouplenet.losses import make_loss
from decouplenet.model import build_model
from decouplenet.registration import own_parts

CLASSES = 3
IMAGES = 2


def check_extensions(config: Config) -> None:
    """Build the network of a config, and take the gradient of its loss on two grey images, on the CPU.

    Does nothing if backbone, head and loss are the project's own.

    Raises:
        InputError: which step failed, and where in the user's code.
    """
    own = own_parts(config)
    if not own:
        return
    size = config.data.image_size
    _check_channels(config.model.backbone, size)
    model = build_model(replace(config.model, pretrained=False), CLASSES, heads=config.head)
    what = f"with {' and '.join(own)} on images of {size} px"
    try:
        logits = model(torch.zeros(IMAGES, 3, size, size))
    except InputError:
        raise
    except Exception as error:  # the user's own code runs
        raise failure_of(f"a step {what}", error) from error
    loss_of = make_loss(config.train)
    try:
        loss = loss_of(logits, torch.ones(IMAGES, CLASSES), torch.zeros(IMAGES, CLASSES).bool())
    except Exception as error:  # the user's own code runs
        raise failure_of(f"train.loss: '{config.train.loss}'", error, loss_of) from error
    if not isinstance(loss, torch.Tensor) or loss.ndim or not torch.isfinite(loss):
        shown = loss.tolist() if isinstance(loss, torch.Tensor) else repr(loss)
        raise InputError(f"train.loss: '{config.train.loss}' gives {shown}; it must give a finite scalar tensor")
    try:
        loss.backward()
    except Exception as error:  # the user's own code runs
        raise failure_of(f"the gradient {what}", error) from error


def _check_channels(name: str, size: int) -> None:
    """Refuse an extension's backbone whose features are not B×D×H×W with the D that it promises."""
    if name in BACKBONES.builtin:
        return
    backbone, channels = build_backbone(name, pretrained=False)
    try:
        with torch.no_grad():
            features = backbone(torch.zeros(IMAGES, 3, size, size))
    except Exception as error:  # the user's own code runs
        raise failure_of(f"model.backbone: '{name}' on images of {size} px", error, BACKBONES.get(name)) from error
    shape = tuple(getattr(features, "shape", ()))
    if len(shape) != 4 or shape[1] != channels:
        raise InputError(
            f"model.backbone: '{name}' says that it has {channels} channels, and gives features of shape {shape}; they "
            f"must be {IMAGES}×{channels}×H×W"
        )
