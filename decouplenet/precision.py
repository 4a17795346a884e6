"""Mixed precision by the name that `train.precision` takes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Autocast(nn.Module):
    """A network that always runs in mixed precision.

    Args:
        model: images to logits.
        precision: `train.precision`.
        device: type of the device.
    """

    def __init__(self, model: nn.Module, precision: str, device: str) -> None:
        super().__init__()
        self.model, self._dtype, self._device = model, AUTOCAST[precision], device

    def forward(self, images: Tensor) -> Tensor:
        """Images B×3×H×W to fp32 logits B×C."""
        with torch.autocast(self._device, self._dtype, enabled=self._dtype is not None):
            logits: Tensor = self.model(images)
        return logits.float()
