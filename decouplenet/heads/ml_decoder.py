"""ML-Decoder (Ridnik et al., WACV 2023, "ML-Decoder: scalable and versatile classification head").

Shapes: B images, D channels, C classes, G groups, h×w the size of the backbone's map, E the width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from decouplenet.heads.settings import MlDecoderSettings

FEEDFORWARD = 2048
"""Width of the decoder's inner layer."""


class MlDecoder(nn.Module):
    """Fixed random queries ask the pixels; each answer gives the logits of a group of classes.

    The decoder has no self-attention, so its cost grows with G and not with G².

    Args:
        channels: D.
        num_classes: C.
        settings: the section `head.ml_decoder`.
    """

    def __init__(self, channels: int, num_classes: int, settings: MlDecoderSettings) -> None:
        super().__init__()
        width, groups = settings.width, min(settings.groups, num_classes)
        self.num_classes, of_group = num_classes, -(-num_classes // groups)
        self.project = nn.Linear(channels, width)
        self.register_buffer("queries", torch.randn(groups, width))
        self.attend = nn.MultiheadAttention(width, settings.attention_heads, dropout=settings.dropout, batch_first=True)
        self.inner, self.outer = nn.Linear(width, FEEDFORWARD), nn.Linear(FEEDFORWARD, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(settings.dropout)
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(groups, width, of_group)))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """B×D×h×w -> logits B×C."""
        pixels = self.project(features.flatten(2).transpose(1, 2)).relu()  # B×hw×E
        queries = self.norms[0](self.queries + self.dropout(self.queries)).expand(len(features), -1, -1)
        attended = self.attend(queries, pixels, pixels, need_weights=False)[0]
        answers = self.norms[1](queries + self.dropout(attended))
        inner = self.outer(self.dropout(self.inner(answers).relu()))
        answers = self.norms[2](answers + self.dropout(inner))  # B×G×E
        grouped = torch.einsum("bge,gec->bgc", answers, self.weight)  # a matrix per group
        return grouped.flatten(1)[:, : self.num_classes] + self.bias
