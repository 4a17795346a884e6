"""WELDON on a map whose pixels are known."""

import pytest
import torch

from decouplenet.heads.settings import WeldonSettings
from decouplenet.heads.weldon import Weldon


def test_it_adds_the_means_of_the_highest_and_the_lowest_pixels():
    head = Weldon(1, 1, WeldonSettings(k=2))
    with torch.no_grad():
        head.to_maps.weight.fill_(1.0)
        head.to_maps.bias.zero_()
    maps = torch.tensor([1.0, 5.0, -4.0, 3.0, 0.0, -2.0]).view(1, 1, 2, 3)
    assert head(maps).item() == pytest.approx((5 + 3) / 2 + (-4 - 2) / 2)
