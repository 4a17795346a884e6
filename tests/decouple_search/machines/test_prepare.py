"""What is tried with the networks of a search before its first trial. No test here starts a Ray."""

import pytest
import torch

from decouple_search.gang.carried import pack_extensions
from decouple_search.machines import prepare
from decouple_search.machines.prepare import check_networks, try_networks
from decouplenet import backbones
from decouplenet.errors import InputError
from decouplenet.extensions import HEADS


@pytest.fixture
def packed(registries):
    """The extensions of another process: a head with a mistake, and a head that works."""

    def broken(channels, num_classes, config):
        return {}["layers"]

    def sound(channels, num_classes, config):
        return torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(channels, num_classes)
        )

    HEADS.register("broken", broken)
    HEADS.register("sound", sound)
    packed = pack_extensions()
    HEADS._registered.clear()
    return packed


def test_the_carried_extensions_of_each_config_are_tried(packed, config):
    try_networks([config(model__head="sound"), config()], packed)
    with pytest.raises(InputError, match=r"^model.head: 'broken' failed \(KeyError: 'layers'; .*test_prepare.py:\d+"):
        try_networks([config(model__head="sound"), config(model__head="broken")], packed)


def test_weights_are_read_for_each_config_that_has_some(config, monkeypatch):
    read = []
    monkeypatch.setattr(backbones, "build_backbone", lambda *arguments: read.append(arguments))
    weights = {"model__backbone": "resnet18", "model__pretrained": "weights.pth"}
    try_networks([config(), config(**weights)], b"")
    assert read == [("resnet18", "weights.pth")]


def test_without_weights_and_extensions_nothing_is_tried(config, monkeypatch):
    monkeypatch.setattr(prepare.ray, "remote", lambda **options: pytest.fail("a task was made"))
    check_networks([config(), config(model__head="wildcat")])
