"""RNN-Attention: regions that are found one after another.

Wang et al., ICCV 2017, "Multi-label image recognition by recurrently discovering attentional regions".

Shapes: B images, D channels, C classes, h×w the size of the backbone's map, K regions, E the width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decouplenet.heads.settings import RnnAttentionSettings
from decouplenet.losses import bce_loss

LARGEST, SMALLEST = 0.5, 0.1
"""Scales of a region, as shares of the image, beyond which it costs."""
OF_PLACES = 0.1
"""Weight of the regions' cost beside the classes' loss."""
OF_ANCHORS, OF_SMALL = 0.01, 0.1
"""Weights in the regions' cost of anchors and of small regions, beside that of large ones."""


class RnnAttention(nn.Module):
    """A spatial transformer cuts K regions out of the map, one after another, and an LSTM says where and what.

    The logit of a class is its highest over all regions. The regions cost if they are too large, too small or
    far from anchors around the centre, so `train.loss` must be bce (the paper compares softmax scores by squares). A
    region's features are averaged before the LSTM.

    Args:
        channels: D.
        num_classes: C.
        settings: the section `head.rnn_attention`.
    """

    def __init__(self, channels: int, num_classes: int, settings: RnnAttentionSettings) -> None:
        super().__init__()
        self.num_classes, self.regions, width = num_classes, settings.regions, settings.width
        self.inputs = nn.Linear(channels, width)
        self.lstm = nn.LSTMCell(width, width)
        self.hidden = nn.Linear(width, width)
        self.scores = nn.Linear(width, num_classes)
        self.place = nn.Linear(width, 4)  # scale and shift across, then down
        with torch.no_grad():
            self.place.bias.copy_(torch.tensor([LARGEST, 0.0, LARGEST, 0.0]))

    def forward(self, features: Tensor) -> Tensor:
        """B×D×h×w -> logits B×C."""
        return self._look(features)[0]

    def training_loss(self, features: Tensor, targets: Tensor, ignored: Tensor | None) -> Tensor:
        """The classes' loss and the regions' cost, summed over images and classes: B×D×h×w, B×C -> a scalar."""
        logits, places = self._look(features)
        cost = region_cost(places.float()).sum()
        return bce_loss(logits.float(), targets, ignored) + OF_PLACES * self.num_classes * cost

    def _look(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The logits B×C, and the places of the regions B×K×4."""
        hidden = cell = features.new_zeros(len(features), self.lstm.hidden_size)
        region, places, scores = features, [], []  # first the whole image, which gives no scores
        for number in range(self.regions + 1):
            hidden, cell = self.lstm(self.inputs(region.mean((2, 3))).relu(), (hidden, cell))
            inner = self.hidden(hidden).relu()
            if number:
                scores.append(self.scores(inner))
            if number < self.regions:
                places.append(self.place(inner))
                region = cut_out(features, places[-1])
        return torch.stack(scores, 1).amax(1), torch.stack(places, 1)


def cut_out(features: Tensor, places: Tensor) -> Tensor:
    """A region of each map in the map's own size, by bilinear sampling (Jaderberg et al., 2015): B×D×h×w, B×4."""
    none = torch.zeros_like(places[:, 0])
    across, right, down, below = places.unbind(1)
    transform = torch.stack([across, none, right, none, down, below], 1).view(-1, 2, 3)
    grid = F.affine_grid(transform.float(), list(features.shape), align_corners=False)
    return F.grid_sample(features, grid.to(features.dtype), align_corners=False)


def region_cost(places: Tensor) -> Tensor:
    """What the places of regions cost, the mean over regions: B×K×4 -> B."""
    scales, shifts = places[:, :, ::2], places[:, :, 1::2]
    large = (scales.abs() - LARGEST).relu().square().sum(2)
    small = (SMALLEST - scales).relu().sum(2)
    off = 0.5 * (shifts - anchors(places.shape[1]).to(places)).square().sum(2)
    return (large + OF_ANCHORS * off + OF_SMALL * small).mean(1)


def anchors(regions: int) -> Tensor:
    """The centre, and points on a circle around it: K×2."""
    angles = torch.arange(regions - 1) * (2 * math.pi / max(regions - 1, 1)) + math.pi / 4
    return torch.cat([torch.zeros(1, 2), math.sqrt(0.5) * torch.stack([angles.cos(), angles.sin()], 1)])
