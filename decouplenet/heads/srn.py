"""SRN (Zhu et al., CVPR 2017, "Learning spatial regularization with image-level supervisions").

Shapes: B images, D channels, C classes, h×w the size of the backbone's map, E the width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from decouplenet.heads.settings import SrnSettings
from decouplenet.losses import bce_loss

GRID = 14
"""Side of the attention maps that relations between classes are learned from."""
PER_CHANNEL = 4
"""Filters of the last, grouped convolution per channel."""


class Srn(nn.Module):
    """Attention maps of all classes, and what they say of one another, beside an ordinary classifier.

    The paper trains it in four stages. Here it is trained at once, with the loss of the attention's own logits
    beside that of the logits, so `train.loss` must be bce.

    Args:
        channels: D.
        num_classes: C.
        settings: the section `head.srn`.
    """

    def __init__(self, channels: int, num_classes: int, settings: SrnSettings) -> None:
        super().__init__()
        width, self.share = settings.width, settings.share
        self.classify = nn.Linear(channels, num_classes)
        self.attend = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, num_classes, 1),
        )
        self.confidence = nn.Conv2d(channels, num_classes, 1)
        self.relate = nn.Sequential(
            *_layer(num_classes, width),
            *_layer(width, width),
            *_layer(width, PER_CHANNEL * width, kernel_size=GRID, groups=width),
            nn.Flatten(),
            nn.Linear(PER_CHANNEL * width, num_classes),
        )

    def forward(self, features: Tensor) -> Tensor:
        """B×D×h×w -> logits B×C."""
        return self._logits(features, *self._attention(features))

    def training_loss(self, features: Tensor, targets: Tensor, ignored: Tensor | None) -> Tensor:
        """The loss of the logits plus that of the attention's own: B×D×h×w, B×C -> a scalar."""
        attention, confidence = self._attention(features)
        attended = (attention * confidence).sum((2, 3))
        logits = self._logits(features, attention, confidence)
        return bce_loss(logits.float(), targets, ignored) + bce_loss(attended.float(), targets, ignored)

    def class_maps(self, features: Tensor) -> Tensor:
        """What each pixel adds to the attention's own logits: B×D×h×w -> B×C×h×w."""
        attention, confidence = self._attention(features)
        return attention * confidence

    def _attention(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The attention, which sums to 1 per class, and the confidence: B×C×h×w each."""
        maps = self.attend(features)
        return maps.flatten(2).softmax(2).view_as(maps), self.confidence(features)

    def _logits(self, features: Tensor, attention: Tensor, confidence: Tensor) -> Tensor:
        # The number of pixels, so that the values do not depend on the size of the map.
        weighted = confidence.sigmoid() * attention * attention[0, 0].numel()
        related: Tensor = self.relate(F.adaptive_avg_pool2d(weighted, GRID))
        plain: Tensor = self.classify(features.mean((2, 3)))
        return self.share * plain + (1 - self.share) * related


def _layer(inputs: int, outputs: int, kernel_size: int = 1, groups: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, kernel_size, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()
