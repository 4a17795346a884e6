"""The whole network: shapes, options, and the combination of its parts by Eq. 2."""

import pytest
import torch

from decouplenet import DecoupleNet, build_model, register_head, spatial_pool
from decouplenet.config import ModelConfig
from decouplenet.errors import InputError

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


class MeanHead(torch.nn.Module):
    """A user's own head: a linear layer on the features' means."""

    def __init__(self, channels, num_classes, config):
        super().__init__()
        self.linear = torch.nn.Linear(channels, num_classes)
        self.config = config

    def forward(self, features):
        """B×D×H×W -> B×C."""
        return self.linear(features.mean((2, 3)))


class MappedHead(MeanHead):
    """The same with maps."""

    def class_maps(self, features):
        """B×D×H×W -> B×C×H×W."""
        return features[:, : self.linear.out_features]


@pytest.fixture
def build(registries):
    """A function that builds a network with a head of a user."""

    def build(head, num_classes=5):
        register_head("mine")(lambda *arguments: head(*arguments))
        return build_model(ModelConfig(backbone="tiny", pretrained=False, head="mine", alpha=0.3), num_classes)

    return build


def test_an_extensions_head_gets_the_channels_the_classes_and_the_config(build):
    model = build(MeanHead)
    assert (model.head.linear.in_features, model.head.linear.out_features) == (128, 5)
    assert (model.head.config.head, model.head.config.alpha) == ("mine", 0.3)


def test_an_extensions_head_maps_the_backbones_features_to_logits(build):
    model = build(MeanHead).eval()
    torch.testing.assert_close(model(IMAGES), model.head(model.backbone(IMAGES)))
    model(IMAGES).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_an_extensions_head_with_class_maps_has_heat_maps(build):
    model = build(MappedHead).eval()
    torch.testing.assert_close(model.class_maps(IMAGES), model.backbone(IMAGES)[:, :5])
    with pytest.raises(InputError, match="^model.head: 'mine' has no method class_maps, so it has no heat maps$"):
        build(MeanHead).class_maps(IMAGES)


def test_logits_of_another_shape_are_refused(build):
    model = build(lambda channels, num_classes, config: MeanHead(channels, 4, config))
    with pytest.raises(InputError, match=r"^model.head: 'mine' gives logits of \(2, 4\), not \(2, 5\)$"):
        model(IMAGES)


def test_a_head_that_cannot_be_made_is_an_input_error(build):
    with pytest.raises(InputError, match=r"^model.head: 'mine' failed \(ZeroDivisionError: .*test_model.py:\d+\)$"):
        build(lambda channels, num_classes, config: 1 / 0)


def test_an_unknown_head_is_refused():
    with pytest.raises(InputError, match="model.head: unknown 'wildcart'; did you mean 'wildcat'"):
        build_model(ModelConfig(backbone="tiny", pretrained=False, head="wildcart"), 5)
