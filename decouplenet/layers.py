"""The boxes of the paper's Fig. 1, one small module per box.

Shapes: B images, D backbone channels, C classes, m maps per class; H×W is the size of the backbone's map.
As in the paper, there is neither normalisation nor activation between the backbone and the pooling: a ReLU would set
the lowest pixels, which k- pools, to zero.
"""

from __future__ import annotations

from typing import SupportsIndex

from torch import Tensor, nn

from decouplenet.config import check_k
from decouplenet.errors import InputError


def make_upsampling(kind: str, in_channels: int, num_classes: int) -> tuple[nn.Module, int]:
    """The upsampling layer of section 2.1, and the stride that the following group convolution needs.

    Args:
        kind: `transposed` 3×3 convolution, `bilinear` after a 1×1 convolution, or `none` (Table 4).
        in_channels: D.
        num_classes: C.

    Returns:
        A module B×D×H×W -> B×C×2H×2W and stride 2; for `none` B×D×H×W -> B×C×H×W and stride 1.

    Raises:
        InputError: the kind is unknown.
    """
    if kind == "transposed":
        return nn.ConvTranspose2d(in_channels, num_classes, 3, stride=2, padding=1, output_padding=1), 2
    if kind == "bilinear":
        to_classes = nn.Conv2d(in_channels, num_classes, 1)
        return nn.Sequential(to_classes, nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)), 2
    if kind == "none":
        return nn.Conv2d(in_channels, num_classes, 1), 1
    raise InputError(f"unknown upsampling '{kind}'; valid: none, bilinear, transposed")


class SpaceToDepth(nn.Module):
    """The class-wise space-to-depth encoder (section 2.1): a 3×3 group convolution that learns m maps per class.

    B×C×(stride·H)×(stride·W) -> B×(C·m)×H×W, class-major: map j of class c is channel c·m+j. Each filter sees the
    channel of its own class only.
    """

    def __init__(self, num_classes: int, maps_per_class: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            num_classes, num_classes * maps_per_class, 3, stride=stride, padding=1, groups=num_classes
        )

    def forward(self, class_channels: Tensor) -> Tensor:
        """B×C×(stride·H)×(stride·W) -> B×(C·m)×H×W."""
        out: Tensor = self.conv(class_channels)
        return out


def class_max(maps: Tensor, maps_per_class: int) -> Tensor:
    """The category-wise max-pooling Z over the m maps of each class: B×(C·m)×H×W -> B×C×H×W (section 2.1)."""
    return maps.unflatten(1, (-1, maps_per_class)).amax(2) if maps_per_class > 1 else maps


class Attention(nn.Module):
    """The attention layer U of Eq. 1: 1×1 convolution, batch normalisation, global max-pooling, sigmoid.

    B×in×H×W -> B×C×1×1 in (0, 1). The normalisation's weight starts at 0.1. The maximum of about 200 normalised
    values is near 2.7, so with weight 1 the sigmoid would start almost saturated (0.94).
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_classes, 1, bias=False)
        self.norm = nn.BatchNorm2d(num_classes)
        nn.init.constant_(self.norm.weight, 0.1)

    def forward(self, maps: Tensor) -> Tensor:
        """B×in×H×W -> B×C×1×1."""
        attention: Tensor = self.norm(self.conv(maps)).amax((2, 3), keepdim=True).sigmoid()
        return attention


def spatial_pool(maps: Tensor, k_pos: int | float, k_neg: int | float, alpha: float) -> Tensor:
    """Eq. 3: the mean of the k+ highest pixels plus alpha times the mean of the k- lowest, for each map.

    Args:
        maps: B×C×H×W.
        k_pos: number of pixels (int), or share of the map's pixels (float in (0, 1], rounded, at least 1).
        k_neg: the same for the lowest pixels; 0 leaves their term out.
        alpha: weight of the term of the lowest pixels. The sum is not halved, as printed in the paper.

    Returns:
        Scores (logits), B×C.

    Raises:
        InputError: a k is out of range, or above the map's number of pixels.
    """
    pixels = maps.flatten(2)
    n = pixels.shape[2]
    scores = _mean_of_extreme(pixels, pixel_count(k_pos, n), largest=True)
    if alpha != 0 and k_neg != 0:
        scores = scores + alpha * _mean_of_extreme(pixels, pixel_count(k_neg, n), largest=False)
    return scores


def pixel_count(k: int | float, n: int) -> int:
    """The number of pixels, of a map's n, that k stands for: an int is the number, a float a share (1 is not 1.0)."""
    if not isinstance(k, SupportsIndex):
        if not 0 < k <= 1:
            raise InputError(f"k = {k}: a share of the map's pixels must be in (0, 1]")
        return max(1, round(float(k) * n))
    if not 1 <= k <= n:
        raise InputError(f"k = {k} pixels: the map has {n}; give 1 to {n}, or a share in (0, 1]")
    return int(k)


def _mean_of_extreme(pixels: Tensor, k: int, *, largest: bool) -> Tensor:
    n = pixels.shape[2]
    if k == n:
        return pixels.mean(2)
    if k == 1:
        return pixels.amax(2) if largest else pixels.amin(2)
    return pixels.topk(k, dim=2, largest=largest, sorted=False).values.mean(2)


class SpatialPool(nn.Module):
    """`spatial_pool` as a module, with fixed parameters: B×C×H×W -> B×C."""

    def __init__(self, k_pos: int | float, k_neg: int | float, alpha: float) -> None:
        super().__init__()
        check_k("k_pos", k_pos, zero_allowed=False)
        check_k("k_neg", k_neg, zero_allowed=True)
        self.k_pos, self.k_neg, self.alpha = k_pos, k_neg, alpha

    def forward(self, maps: Tensor) -> Tensor:
        """B×C×H×W -> B×C."""
        return spatial_pool(maps, self.k_pos, self.k_neg, self.alpha)

    def extra_repr(self) -> str:
        """The parameters, for `print(model)`."""
        return f"k_pos={self.k_pos}, k_neg={self.k_neg}, alpha={self.alpha}"
