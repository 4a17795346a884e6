"""The whole network: shapes, options, and the combination of its parts by Eq. 2."""

import pytest
import torch

from decouplenet import DecoupleNet, build_model, spatial_pool
from decouplenet.config import ModelConfig

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("attention", ["none", "arch1", "arch2", "joint"])
@pytest.mark.parametrize("upsampling", ["none", "bilinear", "transposed"])
def test_logits_and_class_maps(attention, upsampling):
    model = DecoupleNet(7, "tiny", 3, upsampling, attention)
    assert model(IMAGES).shape == (2, 7)
    assert model.class_maps(IMAGES).shape == (2, 7, 8, 8)
    model(IMAGES).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_attention_couples_as_eq_2():
    torch.manual_seed(0)
    model = DecoupleNet(5, "tiny", 2, attention="joint").eval()
    features = model.backbone(IMAGES)
    maps = model.space_to_depth(model.upsample(features))
    z = model.class_maps(IMAGES)
    coupled = (1 + model.arch1(maps) + model.arch2(features)) * z
    torch.testing.assert_close(model(IMAGES), spatial_pool(coupled, 0.2, 0.2, 0.7))


def test_without_attention_the_maps_are_pooled_as_they_are():
    model = DecoupleNet(5, "tiny", 2, attention="none", k_pos=3, k_neg=0, alpha=0.7).eval()
    torch.testing.assert_close(model(IMAGES), spatial_pool(model.class_maps(IMAGES), 3, 0, 0.0))


@pytest.mark.parametrize("head", ["gap", "gmp", "wildcat", "decouplenet"])
def test_every_head_has_the_same_interface(head):
    model = build_model(ModelConfig(backbone="tiny", pretrained=False, head=head), 6)
    assert model(IMAGES).shape == (2, 6)
    assert model.class_maps(IMAGES).shape[:2] == (2, 6)


def test_pooled_baselines_are_pooling_and_a_linear_layer():
    for head, pool in (("gap", lambda f: f.mean((2, 3))), ("gmp", lambda f: f.amax((2, 3)))):
        model = build_model(ModelConfig(backbone="tiny", pretrained=False, head=head), 6).eval()
        linear = torch.nn.functional.linear(
            pool(model.backbone(IMAGES)), model.classify.weight[:, :, 0, 0], model.classify.bias
        )
        torch.testing.assert_close(model(IMAGES), linear)


def test_wildcat_averages_its_maps_and_halves_the_sum():
    model = build_model(ModelConfig(backbone="tiny", pretrained=False, head="wildcat", maps_per_class=3), 6).eval()
    maps = model.to_maps(model.backbone(IMAGES))
    mean = torch.stack([maps[:, c * 3 : c * 3 + 3].mean(1) for c in range(6)], 1)
    torch.testing.assert_close(model(IMAGES), spatial_pool(mean, 0.2, 0.2, 0.7) / 2)
    model.pool.k_neg = 0
    torch.testing.assert_close(model(IMAGES), spatial_pool(mean, 0.2, 0, 0.0))


def test_unknown_attention_lists_the_valid():
    with pytest.raises(ValueError, match="none, arch1, arch2, joint"):
        DecoupleNet(3, "tiny", attention="arch3")


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", 512),
        ("resnet34", 512),
        ("resnet50", 2048),
        ("resnet101", 2048),
        ("mobilenet_v2", 1280),
        ("convnext_tiny", 768),
    ],
)
def test_backbones_give_stride_32_features(name, channels):
    with torch.device("meta"):
        model = DecoupleNet(20, name)
        assert model.backbone(torch.empty(1, 3, 448, 448)).shape == (1, channels, 14, 14)
        assert model(torch.empty(2, 3, 448, 448)).shape == (2, 20)
