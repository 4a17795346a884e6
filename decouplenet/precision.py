"""Mixed precision by the name that `train.precision` takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from decouplenet import compat
from decouplenet.config import Config

AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def on_device(config: Config, device: torch.device) -> Config:
    """The config with the precision that `train.precision` auto stands for on a device.

    It is bf16 where the device computes it, else fp16 on a GPU and fp32 on a CPU.
    """
    if config.train.precision != "auto":
        return config
    precision: Literal["bf16", "fp16", "fp32"] = "fp16" if device.type == "cuda" else "fp32"
    if compat.computes_bf16(device):
        precision = "bf16"
    return replace(config, train=replace(config.train, precision=precision))


def precision_note(precision: str, device: torch.device) -> str:
    """A line for the user where a CPU only emulates bf16; empty otherwise."""
    if precision != "bf16" or device.type != "cpu" or compat.computes_bf16(device):
        return ""
    return "train.precision bf16: this CPU only emulates it, which is many times slower; use auto or fp32"


class Autocast(nn.Module):
    """A network that always runs in mixed precision.

    Args:
        model: images to logits.
        precision: fp32, bf16 or fp16.
        device: type of the device.
    """

    def __init__(self, model: nn.Module, precision: str, device: str) -> None:
        super().__init__()
        self.model, self._dtype, self._device = model, AUTOCAST[precision], device

    def forward(self, images: Tensor, *labels: Tensor | None) -> Tensor:
        """Images B×3×H×W to fp32 logits B×C; with labels, for a head with its own loss, to that loss."""
        with torch.autocast(self._device, self._dtype, enabled=self._dtype is not None):
            output: Tensor = self.model(images, *labels)
        return output.float()
