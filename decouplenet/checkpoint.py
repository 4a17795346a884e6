"""The checkpoint folder: `model.safetensors`, `config.yaml`, `metrics.json` (with the class names).

Reading the files needs neither pickle nor a class of this project. A training needs `state.pt` as well to resume.
"""

from __future__ import annotations

import io
import json
import pickle  # only for the error that torch.load raises
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from decouplenet.atomic_files import replace_folder
from decouplenet.checkpoint_files import CONFIG, METRICS, STATE, WEIGHTS
from decouplenet.checkpoint_header import read_header
from decouplenet.config import Config
from decouplenet.errors import InputError, one_line
from decouplenet.yaml_text import dump_yaml


class Checkpoint(NamedTuple):
    """The content of a checkpoint folder."""

    model: nn.Module
    """The network with its weights, on the CPU, in evaluation mode."""
    config: Config
    """The config of its training."""
    class_names: tuple[str, ...]
    """Names of the C logits."""
    metrics: dict[str, Any]
    """The rest of metrics.json."""


def write_checkpoint(
    folder: Path,
    model_state: Mapping[str, Tensor],
    config: Config,
    metrics: Mapping[str, Any],
    class_names: tuple[str, ...],
) -> None:
    """Write a checkpoint folder. It appears, or replaces an older one, only when it is complete.

    Args:
        folder: the folder to write; its parent must exist.
        model_state: the network's state dict.
        config: the config of its training.
        metrics: JSON values for metrics.json; `class_names` is added.
        class_names: names of the C logits.
    """
    from safetensors.torch import save_file

    with replace_folder(folder) as partial:
        save_file({name: tensor.contiguous() for name, tensor in model_state.items()}, partial / WEIGHTS)
        (partial / CONFIG).write_text(dump_yaml(config.in_use()))
        content = {"class_names": list(class_names), **metrics}
        (partial / METRICS).write_text(json.dumps(content, indent=1) + "\n")


def write_training(
    folder: Path, state: dict[str, Any], config: Config, metrics: Mapping[str, Any], class_names: tuple[str, ...]
) -> None:
    """Write a checkpoint folder that a training can resume from.

    Args:
        folder: the folder to write.
        state: an engine's `state`. `state.pt` gets it without the weights, which are in `model.safetensors`.
        config: the config of the training.
        metrics: JSON values for metrics.json.
        class_names: names of the C logits.
    """
    state = dict(state)
    write_checkpoint(folder, state.pop("model"), config, metrics, class_names)
    torch.save(state, folder / STATE)


def read_training(state: bytes, weights: bytes) -> dict[str, Any]:
    """An engine's `state` from the contents of `state.pt` and `model.safetensors`.

    Raises:
        InputError: `write_training` did not write them, or they are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        loaded: dict[str, Any] = torch.load(io.BytesIO(state), weights_only=True)
        return {**loaded, "model": load(weights)}
    except (SafetensorError, RuntimeError, ValueError, pickle.UnpicklingError, EOFError) as error:
        raise InputError(
            f"the checkpoint's {STATE} and {WEIGHTS} cannot be read ({one_line(error)}); resume from another checkpoint"
        ) from None


def read_checkpoint(folder: str | Path, shown: str | Path | None = None) -> Checkpoint:
    """Read a checkpoint folder.

    Args:
        folder: the folder.
        shown: the folder that messages name, if this one is a copy.

    Raises:
        InputError: the folder is not a checkpoint, or its files do not fit together.
    """
    from safetensors.torch import load_file

    from decouplenet.model import build_model

    folder = Path(folder)
    header = read_header(folder)
    config = header.config
    model = build_model(replace(config.model, pretrained=False), len(header.class_names), heads=config.head)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise InputError(
            f"{Path(shown or folder) / WEIGHTS}: does not fit its {CONFIG} ({one_line(error)}); give another checkpoint"
        ) from None
    return Checkpoint(model.eval(), *header)
