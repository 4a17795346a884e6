"""WELDON (Durand et al., CVPR 2016, "WELDON: Weakly supervised learning of deep convolutional neural networks").

Shapes: B images, D channels, C classes, h×w the size of the backbone's map.
"""

from __future__ import annotations

from torch import Tensor, nn

from decouplenet.heads.settings import WeldonSettings
from decouplenet.layers import spatial_pool


class Weldon(nn.Module):
    """One map per class, and the sum of its mean top and mean lowest instances.

    Args:
        channels: D.
        num_classes: C.
        settings: the section `head.weldon`.
    """

    def __init__(self, channels: int, num_classes: int, settings: WeldonSettings) -> None:
        super().__init__()
        self.k = settings.k
        self.to_maps = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B×D×h×w -> logits B×C."""
        return spatial_pool(self.class_maps(features), self.k, self.k, alpha=1.0)

    def class_maps(self, features: Tensor) -> Tensor:
        """B×D×h×w -> B×C×h×w."""
        maps: Tensor = self.to_maps(features)
        return maps
