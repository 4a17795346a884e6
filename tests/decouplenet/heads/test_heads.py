"""What holds for every head: shapes, gradients, precisions, the order of classes, and that it learns."""

import copy
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn

from decouplenet.config import Config, HeadConfig, ModelConfig
from decouplenet.config_facts import facts_of
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError
from decouplenet.extensions import HEADS
from decouplenet.heads.registry import MODULES
from decouplenet.heads.settings import OWN_LOSS
from decouplenet.losses import bce_loss
from decouplenet.metrics import multilabel_metrics
from decouplenet.model import HeadNet, build_model
from decouplenet.precision import Autocast

CHANNELS, CLASSES = 16, 5
EVERY_HEAD = pytest.mark.parametrize("name", MODULES)


def network(name, **settings):
    """A head on feature maps that pass as they are."""
    torch.manual_seed(0)
    heads = HeadConfig(**{name: type(getattr(HeadConfig(), name))(**settings)})
    return build_model(
        ModelConfig(backbone="tiny", pretrained=False, head=name), CLASSES, (nn.Identity(), CHANNELS), heads
    )


def planted(count, *, seed=0, size=4):
    """Maps in which the pixels of a class's own channel say whether an image has the class."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((count, CLASSES)) < 0.4).astype(np.float32)
    maps = rng.normal(0, 0.3, (count, CHANNELS, size, size)).astype(np.float32)
    for image, label in zip(*np.nonzero(targets), strict=True):
        row, column = rng.integers(size, size=2)
        maps[image, label, row, column] += 4.0
    return torch.from_numpy(maps), torch.from_numpy(targets)


def loss_of(net, name, maps, targets, ignored=None):
    return net(maps, targets, ignored) if name in OWN_LOSS else bce_loss(net(maps), targets, ignored)


@EVERY_HEAD
def test_logits_have_the_shape_of_images_and_classes_for_maps_of_any_size(name):
    net = network(name).eval()
    for height, width in ((7, 7), (3, 5), (1, 1)):
        logits = net(torch.randn(3, CHANNELS, height, width))
        assert logits.shape == (3, CLASSES)
        assert torch.isfinite(logits).all()


@EVERY_HEAD
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_weight_has_a_finite_gradient(name, precision):
    net = network(name)
    maps, targets = planted(6)
    net.see_labels(targets)
    loss = loss_of(Autocast(net, precision, "cpu"), name, maps, targets)
    assert loss.ndim == 0
    assert loss.dtype == torch.float32
    loss.backward()
    for key, weight in net.named_parameters():
        assert weight.grad is not None, key
        assert torch.isfinite(weight.grad).all(), key
    with torch.inference_mode():
        assert torch.isfinite(Autocast(net, precision, "cpu").eval()(maps)).all()


@EVERY_HEAD
def test_it_learns_planted_labels_in_the_order_of_the_classes(name):
    net = network(name)
    maps, targets = planted(96)
    net.see_labels(targets)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for step in range(200):
        torch.manual_seed(step)
        rows = torch.randint(len(maps), (32,))
        optimizer.zero_grad()
        (loss_of(net, name, maps[rows], targets[rows]) / (32 * CLASSES)).backward()
        optimizer.step()
    net.eval()
    new_maps, new_targets = planted(64, seed=1)
    with torch.inference_mode():
        scores = net(new_maps).sigmoid().numpy()
    assert multilabel_metrics(scores, new_targets.numpy().astype(np.uint8))["map"] > 0.8


@EVERY_HEAD
def test_an_image_is_scored_alike_alone_and_in_a_batch(name):
    net = network(name).eval()
    maps, _ = planted(4)
    with torch.inference_mode():
        together, alone = net(maps), torch.cat([net(each[None]) for each in maps])
    assert torch.allclose(together, alone, atol=1e-4)


@EVERY_HEAD
def test_a_pair_that_does_not_count_changes_no_gradient(name):
    """The label of an ignored pair may be anything."""
    maps, targets = planted(6)
    ignored = torch.zeros_like(targets, dtype=torch.bool)
    ignored[:, 2] = True
    flipped = targets.clone()
    flipped[:, 2] = 1 - flipped[:, 2]
    losses = []
    for labels in (targets, flipped):
        torch.manual_seed(0)
        losses.append(float(loss_of(network(name), name, maps, labels, ignored).detach()))
    assert losses[0] == pytest.approx(losses[1])


@EVERY_HEAD
def test_its_class_maps_have_the_size_of_the_backbones_map_or_are_refused(name):
    net = network(name).eval()
    maps = torch.randn(2, CHANNELS, 4, 6)
    if name in ("query2label", "ml_decoder", "cnn_rnn", "of_rnn", "rnn_attention"):
        with pytest.raises(InputError, match=f"model.head: '{name}' has no method class_maps"):
            net.class_maps(maps)
    else:
        assert net.class_maps(maps).shape == (2, CLASSES, 4, 6)


@EVERY_HEAD
def test_a_checkpoint_has_all_that_it_needs(name):
    """Also what it took from the training labels."""
    net = network(name)
    maps, targets = planted(24)
    net.see_labels(targets)
    other = network(name)
    other.load_state_dict(copy.deepcopy(net.state_dict()))
    with torch.inference_mode():
        assert torch.equal(net.eval()(maps), other.eval()(maps))


def test_every_built_in_name_has_a_network_and_settings_or_none():
    for name in HEADS.builtin:
        net = build_model(ModelConfig(backbone="tiny", pretrained=False, head=name), CLASSES)
        assert isinstance(net, HeadNet) is (name in MODULES)
    keys = {f"head.{name}.{each.name}" for name in MODULES for each in fields(getattr(Config().head, name))}
    assert set(flatten({"head": Config().to_dict()["head"]})) == keys


@EVERY_HEAD
def test_its_keys_say_that_they_are_its_own(name):
    settings = type(getattr(HeadConfig(), name))
    assert {facts_of(settings, each).heads for each in fields(settings)} == {(name,)}


@pytest.mark.parametrize("name", OWN_LOSS)
def test_another_loss_is_refused_for_a_head_with_its_own(name):
    with pytest.raises(InputError, match=f"train.loss: asl .* bce with model.head {name}"):
        Config.from_dict({"model": {"head": name}, "train": {"loss": "asl"}})
