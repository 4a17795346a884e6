"""The memory format in which a network is fastest."""

import pytest
import torch
from torch import nn

from decouplenet.scoring import takes_channels_last

CPU, GPU = torch.device("cpu"), torch.device("cuda")
DENSE, DEPTHWISE = nn.Conv2d(8, 8, 3), nn.Sequential(nn.Conv2d(8, 8, 3, groups=8))


@pytest.mark.parametrize(
    ("capability", "device", "precision", "backbone", "taken"),
    [
        ("AVX512", CPU, "fp32", DEPTHWISE, False),
        ("AVX512", CPU, "bf16", DEPTHWISE, True),
        ("AVX512", CPU, "fp32", DENSE, True),
        ("AVX512", GPU, "fp32", DEPTHWISE, True),
        ("AVX2", CPU, "fp32", DEPTHWISE, True),
    ],
)
def test_channels_last_is_taken_where_it_is_faster(monkeypatch, capability, device, precision, backbone, taken):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert takes_channels_last(backbone, device, precision) is taken
