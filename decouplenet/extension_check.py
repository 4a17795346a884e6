"""A trial step with the extensions of a config, so that a mistake in a user's own code shows before any training."""

from __future__ import annotations

from dataclasses import replace

import torch

from decouplenet.config import Config
from decouplenet.errors import InputError
from decouplenet.extensions import failure_of
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
    model = build_model(replace(config.model, pretrained=False), CLASSES)
    size = config.data.image_size
    try:
        logits = model(torch.zeros(IMAGES, 3, size, size))
        loss = make_loss(config.train)(logits, torch.ones(IMAGES, CLASSES), torch.zeros(IMAGES, CLASSES).bool())
        loss.backward()
    except InputError:
        raise
    except Exception as error:  # the user's own code runs
        raise failure_of(f"a step with {' and '.join(own)} on images of {size} px", error) from error
    if loss.ndim or not torch.isfinite(loss):
        raise InputError(f"train.loss: '{config.train.loss}' gives {loss.tolist()}; it must be a finite number")
