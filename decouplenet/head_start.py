"""The head's training before that of the whole network (`train.head_epochs`).

A new head sends random gradients into a pretrained backbone, which harm its features. A head that fits the features
already does not (Kumar et al., 2022, "Fine-tuning can distort pretrained features and underperform
out-of-distribution"). On the feature maps of the frozen backbone that takes a fraction of an epoch's time. The head is
trained at `optim.lr`, and then the whole network at `optim.lr` times `optim.backbone_lr_scale`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from decouplenet.data.opened import Data
from decouplenet.engine import Engine


def needs_head(engine: Engine) -> bool:
    """Whether the engine's head is to be trained alone now: nothing has been trained yet, and its config wants it."""
    return engine.config.train.head_epochs > 0 and engine.epoch == 0 and engine.step == 0


def trained_head(engine: Engine, maps: Data, after_epoch: Callable[[], None] = lambda: None) -> dict[str, Tensor]:
    """Train the head of an engine's config alone. All workers of the engine call it.

    Args:
        engine: gives the config, the device and the place among the workers; it stays as it is.
        maps: the feature maps of its images (`frozen.open_training_data`).
        after_epoch: called after each epoch.

    Returns:
        The head's weights by their names in the network: what `Engine` takes as `head`. They follow from the config as
        the rest of a training does, and are those of a screened trial with this config.

    Raises:
        TrainingFailed: the training cannot continue.
    """
    config = engine.config.for_head(engine.config.train.head_epochs)
    alone = Engine(config, maps, device=engine.device, rank=engine.rank, world=engine.world)
    try:
        for _ in range(config.train.epochs):
            alone.train_epoch()
            after_epoch()
        return {name: tensor.detach().clone() for name, tensor in alone.model.state_dict().items()}
    finally:
        alone.close()
