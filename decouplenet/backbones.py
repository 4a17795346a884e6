"""Feature extractors, B×3×S×S -> B×D×H×W, and their ImageNet weights.

torchvision's networks keep torchvision's module names, so its weight files load unchanged; only the classifier is
removed. `tiny` is this project's own: three convolutions for small synthetic images, without ImageNet weights.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from decouplenet.errors import InputError
from decouplenet.extensions import BACKBONES

Backbone = tuple[nn.Module, int]
"""A feature extractor and its number of channels D."""


def _resnet(network: nn.Module) -> Backbone:
    """A ResNet up to and including layer4."""
    channels = int(network.fc.in_features)  # type: ignore[arg-type, union-attr]
    layers = {name: child for name, child in network.named_children() if name not in ("avgpool", "fc")}
    return nn.Sequential(OrderedDict(layers)), channels


def _features(network: nn.Module) -> Backbone:
    """The `features` of a MobileNet, ConvNeXt or EfficientNet."""
    linear = next(m for m in network.classifier.modules() if isinstance(m, nn.Linear))  # type: ignore[union-attr]
    return nn.Sequential(OrderedDict(features=network.features)), linear.in_features  # type: ignore[arg-type]


def as_backbone(backbone: str | Backbone, pretrained: bool | str) -> Backbone:
    """A backbone that is built from its name, or one that is built already. Errors as for `build_backbone`."""
    return build_backbone(backbone, pretrained) if isinstance(backbone, str) else backbone


def build_backbone(name: str, pretrained: bool | str) -> Backbone:
    """A feature extractor and its number of channels D.

    Args:
        name: a name of `model.backbone`, also of an extension.
        pretrained: True for torchvision's ImageNet weights, False for random weights, or a weight file
            (`.pth`, `.safetensors`) with torchvision's key names.

    Raises:
        InputError: the name is unknown, the file does not fit, or the weights cannot be downloaded.
    """
    if name == "tiny":
        if pretrained is True:
            raise InputError(
                "model.pretrained: backbone 'tiny' has no ImageNet weights; set it to false, or give a file"
            )
        tiny = _tiny()
        if pretrained:
            _load(tiny, read_weights(pretrained), source=pretrained, name=name)
        return tiny, 128
    if name not in BACKBONES.builtin:
        return _extension(name, pretrained)
    from torchvision import models  # costs seconds to import

    network = models.get_model(name, weights=None)
    backbone, channels = _resnet(network) if name.startswith("resnet") else _features(network)
    if pretrained:
        state = _download(models.get_model_weights(name).IMAGENET1K_V1, name) if pretrained is True else None
        _load(backbone, state or read_weights(str(pretrained)), source=str(pretrained), name=name)
    return backbone, channels


def _extension(name: str, pretrained: bool | str) -> Backbone:
    built = BACKBONES.call(name, pretrained)
    match built:
        case (nn.Module() as backbone, int(channels)):
            return backbone, channels
    raise InputError(
        f"model.backbone: '{name}' made {type(built).__name__}; it must make a pair of an nn.Module and its channels D"
    )


def read_weights(path: str) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or `.pth` file. Code in a file is never executed.

    Raises:
        InputError: the file is missing or does not hold a state dict.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"model.pretrained: no file '{path}'; give a .pth or .safetensors file, true or false")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader raises its own errors for a damaged file
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"model.pretrained: '{path}' cannot be read as weights ({reason}); give a state dict file"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"model.pretrained: '{path}' does not hold a state dict of tensors; give another file")
    return state


def _download(weights: Any, name: str) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"model.pretrained: cannot download the weights of {name} ({error}); download {weights.url} on a machine "
            "with network access and give the file as model.pretrained, or set model.pretrained to false"
        ) from error
    return state


def _load(backbone: nn.Module, state: dict[str, Tensor], *, source: str, name: str) -> None:
    """Load the extractor's tensors. Each must be in `state` with the same shape; a classifier there is ignored."""
    needed = backbone.state_dict()
    for key, tensor in needed.items():
        if key.endswith("num_batches_tracked"):
            continue
        if key not in state:
            raise InputError(
                f"model.pretrained: '{source}' has no '{key}', which {name} needs; it is for another network"
            )
        if state[key].shape != tensor.shape:
            raise InputError(
                f"model.pretrained: '{source}' has '{key}' with shape {tuple(state[key].shape)}, but {name} needs "
                f"{tuple(tensor.shape)}; it is for another network"
            )
    backbone.load_state_dict({key: state.get(key, tensor) for key, tensor in needed.items()})


def _tiny() -> nn.Sequential:
    """Three 3×3 convolutions with stride 2: B×3×S×S -> B×128×S/8×S/8."""
    widths = [3, 16, 32, 128]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        conv = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        layers += [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
