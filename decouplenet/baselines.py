"""The paper's two baselines with DecoupleNet's interface: a ResNet classifier (gap, gmp) and WILDCAT.

Shapes as in `model.py`. They work with every backbone; the paper used ResNet101.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from decouplenet.backbones import Backbone, as_backbone
from decouplenet.config import ModelConfig
from decouplenet.errors import InputError
from decouplenet.layers import SpatialPool


class PooledClassifier(nn.Module):
    """Global pooling of the features and a linear layer, written as a 1×1 convolution so that it gives class maps.

    Args:
        num_classes: C.
        backbone: a name of `model.backbone`, or a module and its channels D.
        pooling: `gap` (average) or `gmp` (maximum).
        pretrained: True, False or a weight file.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: str | Backbone = "resnet101",
        pooling: str = "gap",
        pretrained: bool | str = False,
    ) -> None:
        super().__init__()
        if pooling not in ("gap", "gmp"):
            raise InputError(f"unknown pooling '{pooling}'; valid: gap, gmp")
        self.pooling = pooling
        self.backbone, channels = as_backbone(backbone, pretrained)
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """B×3×S×S -> logits B×C."""
        features = self.backbone(images)
        pooled = features.mean((2, 3), keepdim=True) if self.pooling == "gap" else features.amax((2, 3), keepdim=True)
        logits: Tensor = self.classify(pooled).flatten(1)
        return logits

    def class_maps(self, images: Tensor) -> Tensor:
        """The classifier at each position of the features (class activation maps): B×3×S×S -> B×C×H×W."""
        maps: Tensor = self.classify(self.backbone(images))
        return maps


class Wildcat(nn.Module):
    """WILDCAT (Durand et al., CVPR 2017): m maps per class by a 1×1 convolution, their mean, then pooling.

    Pools like the WILDCAT authors' code: the sum of both terms is halved if k- > 0. The DecoupleNet paper prints Eq. 3
    without the halving, and `DecoupleNet` follows the paper.

    Args:
        num_classes: C.
        backbone: a name of `model.backbone`, or a module and its channels D.
        maps_per_class: m.
        k_pos: number (int) or share (float) of the highest pixels to pool.
        k_neg: the same for the lowest pixels; 0 leaves their term out.
        alpha: weight of the term of the lowest pixels.
        pretrained: True, False or a weight file.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: str | Backbone = "resnet101",
        maps_per_class: int = 4,
        k_pos: int | float = 0.2,
        k_neg: int | float = 0.2,
        alpha: float = 0.7,
        pretrained: bool | str = False,
    ) -> None:
        super().__init__()
        self.maps_per_class = maps_per_class
        self.backbone, channels = as_backbone(backbone, pretrained)
        self.to_maps = nn.Conv2d(channels, num_classes * maps_per_class, 1)
        self.pool = SpatialPool(k_pos, k_neg, alpha)

    def forward(self, images: Tensor) -> Tensor:
        """B×3×S×S -> logits B×C."""
        scores: Tensor = self.pool(self.class_maps(images))
        return scores / 2 if self.pool.k_neg != 0 else scores

    def class_maps(self, images: Tensor) -> Tensor:
        """The mean over the m maps of each class: B×3×S×S -> B×C×H×W."""
        maps: Tensor = self.to_maps(self.backbone(images))
        mean: Tensor = maps.unflatten(1, (-1, self.maps_per_class)).mean(2)
        return mean


def _pooled(config: ModelConfig, num_classes: int, backbone: Backbone) -> nn.Module:
    return PooledClassifier(num_classes, backbone, config.head)


def _wildcat(config: ModelConfig, num_classes: int, backbone: Backbone) -> nn.Module:
    return Wildcat(
        num_classes,
        backbone=backbone,
        maps_per_class=config.maps_per_class,
        k_pos=config.k_pos,
        k_neg=config.k_neg,
        alpha=config.alpha,
    )


BASELINES: dict[str, Callable[[ModelConfig, int, Backbone], nn.Module]] = {
    "gap": _pooled,
    "gmp": _pooled,
    "wildcat": _wildcat,
}
