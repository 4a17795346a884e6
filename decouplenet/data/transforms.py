"""From pixels to the network's input, on the device that computes."""

from __future__ import annotations

import torch
from torch import Tensor

# ImageNet's channel mean and deviation, which torchvision's weights expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """B×3×S×S uint8 -> float32 with ImageNet's mean 0 and deviation 1, on the device that the images are on."""
    mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1) * 255
    scale = 1 / (torch.tensor(STD, device=images.device).view(3, 1, 1) * 255)
    return (images - mean) * scale


def flip(images: Tensor, which: Tensor) -> Tensor:
    """Mirror those of B×3×S×S images that `which` (B booleans) names."""
    return torch.where(which.view(-1, 1, 1, 1), images.flip(3), images)
