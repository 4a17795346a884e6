"""Query2Label (Liu et al., 2021, "Query2Label: a simple transformer way to multi-label classification").

Shapes: B images, D channels, C classes, h×w the size of the backbone's map, E the width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from decouplenet.heads.settings import Query2LabelSettings


class Query2Label(nn.Module):
    """Each class asks, with a learned query, the pixels for what speaks for it.

    Args:
        channels: D.
        num_classes: C.
        settings: the section `head.query2label`.
    """

    def __init__(self, channels: int, num_classes: int, settings: Query2LabelSettings) -> None:
        super().__init__()
        width, heads, dropout = settings.width, settings.attention_heads, settings.dropout
        self.project = nn.Conv2d(channels, width, 1)
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, batch_first=True)
            for _ in range(settings.encoder_layers)
        )
        self.queries = nn.Parameter(torch.randn(num_classes, width))
        self.decoder = nn.ModuleList(
            nn.TransformerDecoderLayer(width, heads, 4 * width, dropout, batch_first=True)
            for _ in range(settings.layers)
        )
        self.weight = nn.Parameter(torch.empty(num_classes, width).uniform_(-(width**-0.5), width**-0.5))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """B×D×h×w -> logits B×C."""
        projected = self.project(features)
        height, width = projected.shape[2:]
        places = positions(height, width, projected.shape[1], projected.device)
        pixels = projected.flatten(2).transpose(1, 2) + places  # B×hw×E
        for layer in self.encoder:
            pixels = layer(pixels)
        answers = self.queries.expand(len(features), -1, -1)  # B×C×E
        for layer in self.decoder:
            answers = layer(answers, pixels)
        logits: Tensor = (answers * self.weight).sum(2) + self.bias  # a classifier per query
        return logits


def positions(height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Sines and cosines of the row and the column of each pixel (Carion et al., 2020, "DETR", appendix A.4): hw×E."""
    quarter = channels // 4
    rates = 10000 ** (-torch.arange(quarter, device=device) / quarter)
    rows, columns = (
        torch.linspace(0, 2 * math.pi, count + 1, device=device)[1:, None] * rates for count in (height, width)
    )
    of_rows = torch.cat([rows.sin(), rows.cos()], 1)[:, None].expand(-1, width, -1)
    of_columns = torch.cat([columns.sin(), columns.cos()], 1)[None].expand(height, -1, -1)
    return torch.cat([of_rows, of_columns], 2).flatten(0, 1)
