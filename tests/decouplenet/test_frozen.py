"""A frozen backbone: its feature maps, and a head that is trained on them."""

import numpy as np
import pytest
import torch
from torchvision.models import mobilenet_v2

from decouplenet.backbones import build_backbone
from decouplenet.checkpoint import read_checkpoint, write_training
from decouplenet.config import Config
from decouplenet.data import shared_array
from decouplenet.data.opened import open_data
from decouplenet.data.transforms import normalise
from decouplenet.dotted_keys import nest
from decouplenet.engine import Engine
from decouplenet.errors import InputError
from decouplenet.frozen import open_training_data
from decouplenet.head_start import needs_head, trained_head


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a MobileNet whose BatchNorms have statistics other than those of a new network."""
    torch.manual_seed(1)
    network = mobilenet_v2(weights=None).train()
    with torch.no_grad():
        network(torch.randn(8, 3, 64, 64))
    file = tmp_path_factory.mktemp("weights") / "mobilenet.pth"
    torch.save(network.state_dict(), file)
    return file


@pytest.fixture(scope="module")
def make(weights, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def config(**keys):
        defaults = {
            "model.backbone": "mobilenet_v2",
            "model.pretrained": str(weights),
            "data.image_size": 64,
            "data.synthetic_images": 100,
            "data.cache": str(cache),
            "train.batch_size": 20,
            "train.epochs": 3,
            "train.freeze_backbone": True,
            "optim.lr": 0.02,
        }
        return Config.from_dict(nest(defaults | keys))

    return config


@pytest.fixture(scope="module")
def data(make):
    return open_training_data(make())


def test_the_maps_are_those_of_the_backbone_in_evaluation_mode(make, data, weights):
    backbone, channels = build_backbone("mobilenet_v2", str(weights))
    pixels = open_data(make().data)
    assert data.train_pixels.shape == (len(data.train), 2, 2, channels)
    for maps, images in ((data.train_pixels, pixels.train_pixels), (data.val_pixels, pixels.val_pixels)):
        chosen = np.array([0, 3, len(maps) - 1])
        with torch.inference_mode():
            expected = backbone.eval()(normalise(torch.from_numpy(images[chosen]).permute(0, 3, 1, 2)))
        np.testing.assert_allclose(maps[chosen], expected.permute(0, 2, 3, 1), rtol=2e-3, atol=2e-3)


def test_the_maps_are_computed_once(make, data, monkeypatch):
    monkeypatch.setattr(shared_array, "_build", lambda *arguments: pytest.fail("computed once more"))
    reopened = open_training_data(make(**{"model.maps_per_class": 2, "data.flip": False}))
    assert np.array_equal(reopened.train_pixels, data.train_pixels)


@pytest.mark.parametrize("changed", ["weights", "size"])
def test_other_weights_and_sizes_have_other_maps(make, data, weights, tmp_path, changed):
    keys = {"data.image_size": 96}
    if changed == "weights":
        state = torch.load(weights, weights_only=True)
        state["features.0.0.weight"][0, 0, 0, 0] += 1
        torch.save(state, tmp_path / "other.pth")
        keys = {"model.pretrained": str(tmp_path / "other.pth")}
    other = open_training_data(make(**keys))
    assert other.train_pixels.shape != data.train_pixels.shape or not np.array_equal(
        other.train_pixels, data.train_pixels
    )


def test_maps_beyond_16_bits_are_refused(make, weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    state["features.0.0.weight"] *= torch.nan
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(InputError, match=r"^model.backbone: the feature maps of mobilenet_v2 do not fit into 16-bit"):
        open_training_data(make(**{"model.pretrained": str(tmp_path / "nan.pth")}))


def test_a_share_of_the_images_has_its_share_of_each_class(make, data):
    part = open_training_data(make(**{"train.map_share": 0.5}))
    for images, whole, maps in ((part.train, data.train, part.train_pixels), (part.val, data.val, part.val_pixels)):
        assert len(images) == len(maps) == pytest.approx(len(whole) / 2, abs=1)
        assert (np.abs(images.targets.sum(0) - whole.targets.sum(0) / 2) <= 2).all()
        places = [whole.paths.index(path) for path in images.paths]
        assert np.array_equal(images.targets, whole.targets[places])
    reopened = open_training_data(make(**{"train.map_share": 0.5, "train.seed": 3}))
    assert reopened.train.paths == part.train.paths
    engine = Engine(make(**{"train.map_share": 0.5}), part)
    engine.train_epoch()
    assert 0 < engine.evaluate()["val_map"] <= 1
    with pytest.raises(InputError, match=r"^train.map_share: 0.001 leaves 0 training and 0 val"):
        open_training_data(make(**{"train.map_share": 0.001}))


@pytest.mark.parametrize("head", ["decouplenet", "wildcat", "gap"])
def test_only_the_head_is_trained(make, data, weights, head):
    engine = Engine(make(**{"model.head": head}), data)
    head_before = {name: tensor.clone() for name, tensor in engine.model.state_dict().items()}
    assert not any(name.startswith("backbone.") for name in head_before)
    first = engine.train_epoch()["train_loss"]
    assert engine.train_epoch()["train_loss"] < first
    assert all(not torch.equal(engine.model.state_dict()[name], before) for name, before in head_before.items())
    backbone = build_backbone("mobilenet_v2", str(weights))[0].state_dict()
    whole = engine.state()["model"]
    assert all(torch.equal(whole[f"backbone.{name}"], tensor) for name, tensor in backbone.items())


def test_a_checkpoint_scores_images_as_its_head_scores_maps(make, data, tmp_path):
    engine = Engine(make(), data)
    for _ in range(3):
        engine.train_epoch()
    write_training(tmp_path / "c", engine.state(), engine.config, {}, data.train.class_names)
    network, config, names, _ = read_checkpoint(tmp_path / "c")
    images = torch.from_numpy(np.array(open_data(config.data).val_pixels)).permute(0, 3, 1, 2)
    maps = torch.from_numpy(np.array(data.val_pixels)).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        of_images, of_maps = network(normalise(images)).sigmoid(), engine.model.eval()(maps).sigmoid()
    assert of_maps.shape == (len(data.val), len(names))
    torch.testing.assert_close(of_images, of_maps, rtol=0, atol=1e-3)


def test_a_resumed_head_trains_as_if_it_had_not_stopped(make, data):
    whole = Engine(make(**{"train.ema_decay": 0.9}), data)
    for _ in range(2):
        whole.train_epoch()
    begun = Engine(make(**{"train.ema_decay": 0.9}), data)
    begun.train_epoch()
    resumed = Engine(make(**{"train.ema_decay": 0.9}), data)
    resumed.load_state(begun.state())
    resumed.train_epoch()
    for name, tensor in whole.state()["model"].items():
        assert torch.equal(resumed.state()["model"][name], tensor), name


def test_flipped_maps_are_seen_in_training(make, data):
    losses = [Engine(make(**{"data.flip": flip}), data).train_epoch()["train_loss"] for flip in (True, False)]
    assert losses[0] != losses[1]


def test_a_head_start_is_the_training_of_the_head_alone(make, data):
    """It leaves the head of a screened trial with the same config, and the backbone's weights."""
    config = make(**{"train.freeze_backbone": False, "train.head_epochs": 2})
    images = open_data(config.data)
    engine = Engine(config, images)
    assert needs_head(engine)
    epochs = []
    head = trained_head(engine, data, lambda: epochs.append(1))
    assert len(epochs) == 2
    screened = Engine(config.for_head(2), data)
    for _ in range(2):
        screened.train_epoch()
    assert screened.model.state_dict().keys() == head.keys()
    assert all(torch.equal(tensor, head[name]) for name, tensor in screened.model.state_dict().items())
    started = Engine(config, images, head=head)
    weights = started.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in head.items())
    fresh = engine.model.state_dict()
    assert all(torch.equal(weights[name], fresh[name]) for name in weights if name.startswith("backbone."))
    started.train_epoch()
    assert not needs_head(started)
    assert not needs_head(Engine(make(**{"train.freeze_backbone": False}), images))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model.pretrained": False}, r"^model.pretrained: False, with train.freeze_backbone true; it must be true or"),
        ({"data.cache": "none"}, r"^data.cache: none, .* it must be a folder"),
        ({"data.randaugment": 2}, r"^data.randaugment and data.cutout: one above 0, .* must be 0"),
        ({"data.cutout": 0.2}, r"^data.randaugment and data.cutout: one above 0, .* must be 0"),
        ({"train.compile": True}, r"^train.compile: True, .* must be false"),
        ({"train.head_epochs": 2}, r"^train.head_epochs: 2, .* must be 0"),
        (
            {"train.freeze_backbone": False, "train.head_epochs": 2, "model.pretrained": False},
            r"^model.pretrained: False, with train.head_epochs 2; it must be true or a weight file",
        ),
        ({"train.map_share": 0.0}, r"^train.map_share: 0.0 is out of range"),
        ({"train.head_epochs": -1}, r"^train.head_epochs: -1 is out of range"),
    ],
)
def test_what_maps_cannot_do_is_refused(make, keys, message):
    with pytest.raises(InputError, match=message):
        make(**keys)


def test_a_whole_network_has_the_parameters_of_head_and_backbone(make, data):
    frozen = Engine(make(), data)
    trained = Engine(make(**{"train.freeze_backbone": False}), open_data(make().data))
    names = [{name for name, _ in engine.whole_network().named_parameters()} for engine in (frozen, trained)]
    assert names[0] == names[1]
