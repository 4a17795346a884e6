"""DecoupleNet from image to logits, in the order of the paper's Fig. 1, and `build_model`.

Shapes: B images, D backbone channels, C classes, m maps per class; H=W=14 for a 448×448 image and a ResNet.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from decouplenet.backbones import Backbone, as_backbone, build_backbone
from decouplenet.baselines import BASELINES
from decouplenet.config import HeadConfig, ModelConfig
from decouplenet.errors import InputError
from decouplenet.extensions import HEADS
from decouplenet.heads.registry import MODULES
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


class HeadNet(nn.Module):
    """A backbone and a head on its feature map: one of `heads/`, or an extension's.

    Args:
        name: the head's name, for errors.
        head: a module, features B×D×H×W -> logits B×C. For class maps it needs a method `class_maps`, too.
        num_classes: C.
        backbone: the module that gives the features.
    """

    def __init__(self, name: str, head: nn.Module, num_classes: int, backbone: nn.Module) -> None:
        super().__init__()
        self._name, self._num_classes = name, num_classes
        self.backbone, self.head = backbone, head

    def see_labels(self, targets: Tensor) -> None:
        """Show the training labels, N×C of 0 and 1, to a head that starts from them."""
        see_labels: Callable[[Tensor], None] | None = getattr(self.head, "see_labels", None)
        if see_labels is not None:
            see_labels(targets)

    def forward(self, images: Tensor, targets: Tensor | None = None, ignored: Tensor | None = None) -> Tensor:
        """B×3×S×S -> logits B×C; with targets the loss of a head that has its own (`OWN_LOSS`), summed over B×C.

        Args:
            images: B×3×S×S.
            targets: B×C.
            ignored: B×C booleans of pairs that do not count, or None.
        """
        features = self.backbone(images)
        if targets is not None:
            loss: Tensor = self.head.training_loss(features, targets, ignored)  # type: ignore[operator]
            return loss
        logits: Tensor = self.head(features)
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


def _extension(config: ModelConfig, channels: int, num_classes: int) -> nn.Module:
    """The head of an extension (`register_head`)."""
    head = HEADS.call(config.head, channels, num_classes, config)
    if not isinstance(head, nn.Module):
        raise InputError(f"model.head: '{config.head}' made {type(head).__name__}; it must make an nn.Module")
    return head


def build_model(
    config: ModelConfig, num_classes: int, backbone: Backbone | None = None, heads: HeadConfig | None = None
) -> nn.Module:
    """The network of a config: DecoupleNet or another head, B×3×S×S -> logits B×C.

    Args:
        config: the section `model` of a config.
        num_classes: C.
        backbone: a module and its channels D, which the network gets in place of the config's backbone.
        heads: the section `head`; None for its defaults.

    Raises:
        InputError: the backbone or the head is unknown, or the weights do not load.
    """
    backbone = backbone or build_backbone(config.backbone, config.pretrained)
    if config.head in BASELINES:
        return BASELINES[config.head](config, num_classes, backbone)
    if config.head != "decouplenet":
        module, channels = backbone
        if config.head in MODULES:
            head = MODULES[config.head](channels, num_classes, heads or HeadConfig())
        else:
            head = _extension(config, channels, num_classes)
        return HeadNet(config.head, head, num_classes, module)
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
