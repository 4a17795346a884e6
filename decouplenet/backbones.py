"""Feature extractors, B×3×S×S -> B×D×H×W, and their ImageNet weights.

Those of torchvision keep torchvision's own module names, so its weight files load as they are; only the
classifier is left off. `tiny` is ours: three convolutions for small synthetic images, no weights exist for it.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args
from urllib.error import URLError

import torch
from torch import Tensor, nn

from decouplenet.config import Backbone, nearest
from decouplenet.errors import InputError


def _resnet(network: nn.Module) -> tuple[nn.Module, int]:
    """All of a ResNet up to layer4."""
    channels = int(network.fc.in_features)  # type: ignore[arg-type, union-attr]
    layers = {name: child for name, child in network.named_children() if name not in ("avgpool", "fc")}
    return nn.Sequential(OrderedDict(layers)), channels


def _features(network: nn.Module) -> tuple[nn.Module, int]:
    """The `features` of a MobileNet, ConvNeXt or EfficientNet."""
    first = next(m for m in network.classifier.modules() if isinstance(m, nn.Linear))  # type: ignore[union-attr]
    return nn.Sequential(OrderedDict(features=network.features)), first.in_features  # type: ignore[arg-type]


def build_backbone(name: str, pretrained: bool | str) -> tuple[nn.Module, int]:
    """A feature extractor and its number of channels D.

    Args:
        name: one of `decouplenet.config.Backbone`.
        pretrained: True for torchvision's ImageNet weights, False for random ones, or a weight file
            (`.pth`, `.safetensors`) under torchvision's key names.

    Raises:
        InputError: an unknown name, a file that does not fit, or weights that cannot be downloaded.
    """
    if name == "tiny":
        if pretrained:
            raise InputError("model.pretrained: backbone 'tiny' has no ImageNet weights; set it to false")
        return _tiny(), 128
    if name not in get_args(Backbone):
        raise InputError(f"model.backbone: unknown '{name}'; {nearest(name, get_args(Backbone))}")
    from torchvision import models  # costs seconds to import

    network = models.get_model(name, weights=None)
    backbone, channels = _resnet(network) if name.startswith("resnet") else _features(network)
    if pretrained:
        state = _download(models.get_model_weights(name).IMAGENET1K_V1, name) if pretrained is True else None
        _load(backbone, state or read_weights(str(pretrained)), source=str(pretrained), name=name)
    return backbone, channels


def read_weights(path: str) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or `.pth` file; nothing in the file is executed.

    Raises:
        InputError: the file is missing or is not what its name says.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"model.pretrained: no file '{path}'; give a .pth or .safetensors file, true or false")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has errors of its own for a damaged file
        reason = str(error).partition("\n")[0]
        raise InputError(f"model.pretrained: '{path}' cannot be read as weights ({reason})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"model.pretrained: '{path}' does not hold a state dict of tensors")
    return state


def _download(weights: Any, name: str) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"model.pretrained: cannot download {name}'s weights ({error}); fetch {weights.url} on a machine "
            "with a network and give its path as model.pretrained, or set it to false"
        ) from error
    return state


def _load(backbone: nn.Module, state: dict[str, Tensor], *, source: str, name: str) -> None:
    """Load what the extractor needs; a classifier in the file is not needed, all else must be there and fit."""
    needed = backbone.state_dict()
    for key, tensor in needed.items():
        if key.endswith("num_batches_tracked"):
            continue
        if key not in state:
            raise InputError(f"model.pretrained: '{source}' lacks '{key}' of {name}; it is for another network")
        if state[key].shape != tensor.shape:
            raise InputError(
                f"model.pretrained: '{source}' has '{key}' as {tuple(state[key].shape)}, "
                f"{name} needs {tuple(tensor.shape)}; it is for another network"
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
