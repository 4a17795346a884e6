"""Conversion of pixels to the network's input, on the device of the images."""

from __future__ import annotations

import torch
from torch import Tensor

# ImageNet's mean and standard deviation per channel, which torchvision's weights expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """B×3×S×S uint8 -> float32, normalised so that ImageNet has mean 0 and standard deviation 1."""
    mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1) * 255
    scale = 1 / (torch.tensor(STD, device=images.device).view(3, 1, 1) * 255)
    return (images - mean) * scale


def flip_(images: Tensor, which: Tensor) -> Tensor:
    """Mirror in place the images B×3×S×S for which `which` (B booleans on the CPU) is true; returns all images."""
    indices = which.nonzero().squeeze(1).to(images.device, non_blocking=True)
    images[indices] = images[indices].flip(3)  # the others are not touched: a quarter of the time of torch.where
    return images
