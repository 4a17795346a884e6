"""DecoupleNet from image to logits, in the order of the paper's Fig. 1, and `build_model`.

Shapes: B images, D backbone channels, C classes, m maps per class; H=W=14 for a 448×448 image and a ResNet.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from decouplenet.backbones import Backbone, as_backbone, build_backbone
from decouplenet.baselines import BASELINES
from decouplenet.config import ModelConfig
from decouplenet.errors import InputError
from decouplenet.extensions import HEADS
from decouplenet.layers import Attention, SpaceToDepth, SpatialPool, class_max, make_upsampling


class DecoupleNet(nn.Module):
    """Class-wise independence and relevance, decoupled (ICASSP 2019).

    Args:
        num_classes: C.
        backbone: a name of `model.backbone`, or a module and its channels D.
        maps_per_class: m, the maps that the group convolution learns for each class.
        upsampling: `transposed`, `bilinear` or `none` (Table 4).
        attention: `arch1` (from the class maps), `arch2` (from the backbone's features), `none`, or `joint`
            (both in one model; the paper's arch1+arch2 row is an ensemble of two models instead).
        k_pos: k+ of Eq. 3: number of pixels (int) or share of them (float).
        k_neg: k- of Eq. 3, in the same form; 0 switches the negative term off.
        alpha: weight of the negative term.
        pretrained: weights of the backbone: True, False or a weight file.

    Raises:
        InputError: a name is unknown, a k is out of range, or the weights do not load.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: str | Backbone = "resnet101",
        maps_per_class: int = 4,
        upsampling: str = "transposed",
        attention: str = "arch1",
        k_pos: int | float = 0.2,
        k_neg: int | float = 0.2,
        alpha: float = 0.7,
        pretrained: bool | str = False,
    ) -> None:
        super().__init__()
        if attention not in ("none", "arch1", "arch2", "joint"):
            raise InputError(f"unknown attention '{attention}'; valid: none, arch1, arch2, joint")
        if maps_per_class < 1:
            raise InputError(f"maps_per_class is {maps_per_class}; it must be at least 1")
        self.maps_per_class = maps_per_class
        self.backbone, channels = as_backbone(backbone, pretrained)
        self.upsample, stride = make_upsampling(upsampling, channels, num_classes)
        self.space_to_depth = SpaceToDepth(num_classes, maps_per_class, stride)
        self.arch1 = Attention(num_classes * maps_per_class, num_classes) if attention in ("arch1", "joint") else None
        self.arch2 = Attention(channels, num_classes) if attention in ("arch2", "joint") else None
        self.pool = SpatialPool(k_pos, k_neg, alpha)

    def forward(self, images: Tensor) -> Tensor:
        """B×3×S×S -> logits B×C."""
        features = self.backbone(images)  # B×D×H×W
        maps = self.space_to_depth(self.upsample(features))  # B×(C·m)×H×W
        z = class_max(maps, self.maps_per_class)  # B×C×H×W
        coupled = z
        if self.arch1 is not None:
            coupled = coupled + self.arch1(maps) * z  # Eq. 2: (1 + attn)·Z
        if self.arch2 is not None:
            coupled = coupled + self.arch2(features) * z
        logits: Tensor = self.pool(coupled)  # Eq. 3
        return logits

    def class_maps(self, images: Tensor) -> Tensor:
        """The maps Z after the category-wise max-pooling, as in Fig. 2: B×3×S×S -> B×C×H×W."""
        maps = self.space_to_depth(self.upsample(self.backbone(images)))
        return class_max(maps, self.maps_per_class)


class ExtensionNet(nn.Module):
    """A backbone and the head of an extension (`register_head`).

    Args:
        config: its `head` is the extension's name.
        num_classes: C.
        backbone: a module and its channels D.
    """

    def __init__(self, config: ModelConfig, num_classes: int, backbone: Backbone) -> None:
        super().__init__()
        self._name, self._num_classes = config.head, num_classes
        self.backbone, channels = backbone
        self.head = HEADS.call(config.head, channels, num_classes, config)
        if not isinstance(self.head, nn.Module):
            made = type(self.head).__name__
            raise InputError(f"model.head: '{config.head}' made {made}; it must make an nn.Module")

    def forward(self, images: Tensor) -> Tensor:
        """B×3×S×S -> logits B×C."""
        logits: Tensor = self.head(self.backbone(images))
        if logits.shape != (len(images), self._num_classes):
            wanted = (len(images), self._num_classes)
            raise InputError(f"model.head: '{self._name}' gives logits of {tuple(logits.shape)}, not {wanted}")
        return logits

    def class_maps(self, images: Tensor) -> Tensor:
        """The head's own maps: B×3×S×S -> B×C×H×W."""
        class_maps: Callable[[Tensor], Tensor] | None = getattr(self.head, "class_maps", None)
        if class_maps is None:
            raise InputError(f"model.head: '{self._name}' has no method class_maps, so it has no heat maps")
        return class_maps(self.backbone(images))


def build_model(config: ModelConfig, num_classes: int, backbone: Backbone | None = None) -> nn.Module:
    """The network of a config: DecoupleNet, a baseline or an extension's head, B×3×S×S -> logits B×C.

    Args:
        config: the network's section of a config.
        num_classes: C.
        backbone: a module and its channels D, which the network gets in place of the config's backbone.

    Raises:
        InputError: the backbone or the head is unknown, or the weights do not load.
    """
    backbone = backbone or build_backbone(config.backbone, config.pretrained)
    if config.head in BASELINES:
        return BASELINES[config.head](config, num_classes, backbone)
    if config.head != "decouplenet":
        return ExtensionNet(config, num_classes, backbone)
    return DecoupleNet(
        num_classes,
        backbone=backbone,
        maps_per_class=config.maps_per_class,
        upsampling=config.upsampling,
        attention=config.attention,
        k_pos=config.k_pos,
        k_neg=config.k_neg,
        alpha=config.alpha,
    )
