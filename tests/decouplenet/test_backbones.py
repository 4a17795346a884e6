"""Weights from files and from torchvision, and the errors when they cannot be loaded."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from decouplenet.backbones import build_backbone, read_weights
from decouplenet.errors import InputError
from decouplenet.extensions import BACKBONES
from decouplenet.registration import register_backbone


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_a_torchvision_file_gives_torchvisions_features(tmp_path, ending):
    torch.manual_seed(1)
    theirs = models.resnet18(weights=None).eval()
    file = tmp_path / f"weights{ending}"
    (torch.save if ending == ".pth" else save_file)(theirs.state_dict(), file)
    ours, _ = build_backbone("resnet18", str(file))
    images = torch.randn(1, 3, 64, 64)
    pooled = ours.eval()(images).mean((2, 3))
    torch.testing.assert_close(theirs.fc(pooled), theirs(images))


def test_a_file_for_another_network_is_refused(tmp_path):
    save_file(models.resnet50(weights=None).state_dict(), tmp_path / "r50.safetensors")
    with pytest.raises(InputError, match="for another network"):
        build_backbone("resnet18", str(tmp_path / "r50.safetensors"))


def test_files_that_do_not_hold_weights_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        read_weights(str(tmp_path / "nothing.pth"))
    (tmp_path / "bad.pth").write_bytes(b"not a pickle")
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(str(tmp_path / "bad.pth"))


class Evil:
    """Runs code when a plain pickle of it is loaded."""

    def __reduce__(self):
        return (print, ("executed",))


def test_a_pickle_with_code_is_not_executed(tmp_path, capsys):
    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(str(tmp_path / "evil.pth"))
    assert "executed" not in capsys.readouterr().out


def test_a_failed_download_says_what_to_do(monkeypatch):
    from urllib.error import URLError

    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(InputError, match=r"cannot download .*\.pth.*model\.pretrained"):
        build_backbone("resnet18", pretrained=True)


def test_unknown_backbone_names_the_nearest():
    with pytest.raises(InputError, match="resnet101"):
        build_backbone("resnet10l", pretrained=False)


def test_real_imagenet_weights_load(shared):
    for name, file in (
        ("mobilenet_v2", "mobilenet_v2-b0353104.pth"),
        ("resnet50", "resnet50-v1-fp16.safetensors"),
    ):
        path = shared / "weights" / file
        backbone, _ = build_backbone(name, str(path))
        given = read_weights(str(path))
        for key, tensor in backbone.state_dict().items():
            if key in given:
                assert torch.equal(tensor, given[key].to(tensor.dtype))


@pytest.mark.parametrize("name", BACKBONES.builtin)
def test_every_built_in_backbone_can_be_built(name):
    assert name == "tiny" or name in models.list_models()
    with torch.device("meta"):
        backbone, channels = build_backbone(name, pretrained=False)
        stride = 8 if name == "tiny" else 32
        assert backbone(torch.empty(1, 3, 64, 64)).shape == (1, channels, 64 // stride, 64 // stride)


@pytest.mark.parametrize("pretrained", [True, False, "weights.pth"])
def test_an_extensions_backbone_gets_the_value_of_pretrained(registries, pretrained):
    given, network = [], torch.nn.Conv2d(3, 7, 1)

    @register_backbone("mine")
    def make(value):
        given.append(value)
        return network, 7

    assert build_backbone("mine", pretrained) == (network, 7)
    assert given == [pretrained]


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (torch.nn.Conv2d(3, 7, 1), "Conv2d"),
        ((7, torch.nn.Conv2d(3, 7, 1)), "tuple"),
        ((torch.nn.Conv2d(3, 7, 1), "7"), "tuple"),
        ((torch.nn.Conv2d(3, 7, 1), 7, 1), "tuple"),
        ((torch.relu, 7), "tuple"),
        (None, "NoneType"),
    ],
)
def test_an_extension_that_makes_something_else_than_a_network_and_its_channels_is_refused(registries, made, kind):
    register_backbone("mine")(lambda pretrained: made)
    with pytest.raises(InputError, match=f"^model.backbone: 'mine' made {kind}; it must make a pair of an nn.Module"):
        build_backbone("mine", pretrained=False)


def test_an_extensions_backbone_that_cannot_be_made_is_an_input_error(registries):
    register_backbone("mine")(lambda pretrained: {}["weights"])
    with pytest.raises(InputError, match=r"^model.backbone: 'mine' failed \(KeyError: .*test_backbones.py:\d+\)$"):
        build_backbone("mine", pretrained=False)
