"""The checkpoint folder: `model.safetensors`, `config.yaml`, `metrics.json` (class names inside).

Anyone can open it: no pickle, no class of ours needed to read the files. One to go on from has `state.pt` besides.
"""

from __future__ import annotations

import io
import json
import pickle  # its error alone: nothing is read with it
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor, nn

from decouplenet.config import Config, flatten, load_yaml
from decouplenet.errors import InputError


class Checkpoint(NamedTuple):
    """What a checkpoint folder holds."""

    model: nn.Module
    """The network with its weights, on the CPU, in evaluation mode."""
    config: Config
    """The config that trained it."""
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
    """Write a checkpoint folder; it appears, or takes the place of an older one, only when it is complete.

    Args:
        folder: where; its parent must be there.
        model_state: the network's state dict.
        config: the config that trained it.
        metrics: what is known of it, JSON values; `class_names` is added.
        class_names: names of the C logits.
    """
    from safetensors.torch import save_file

    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        save_file({name: tensor.contiguous() for name, tensor in model_state.items()}, partial / "model.safetensors")
        (partial / "config.yaml").write_text(yaml.safe_dump(config.to_dict(), sort_keys=False))
        content = {"class_names": list(class_names), **metrics}
        (partial / "metrics.json").write_text(json.dumps(content, indent=1) + "\n")
        partial.chmod(0o755)  # mkdtemp's folders are for their owner alone
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_training(
    folder: Path, state: dict[str, Any], config: Config, metrics: Mapping[str, Any], class_names: tuple[str, ...]
) -> None:
    """Write a checkpoint folder with an engine's `state` to go on from, as `state.pt`; arguments as `write_checkpoint`.

    The weights are in `model.safetensors` alone.
    """
    state = dict(state)
    write_checkpoint(folder, state.pop("model"), config, metrics, class_names)
    torch.save(state, folder / "state.pt")


def read_training(state: bytes, weights: bytes) -> dict[str, Any]:
    """An engine's `state` from the contents of `state.pt` and `model.safetensors`.

    Raises:
        InputError: they are not what `write_training` wrote.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        read: dict[str, Any] = torch.load(io.BytesIO(state), weights_only=True)
        return {**read, "model": load(weights)}
    except (SafetensorError, RuntimeError, ValueError, pickle.UnpicklingError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the checkpoint's state.pt and model.safetensors cannot be read ({reason})") from None


def read_checkpoint(folder: str | Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        InputError: it is not one, or its files do not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from decouplenet.command_line import parse_config
    from decouplenet.model import build_model

    folder = Path(folder)
    for name in ("model.safetensors", "config.yaml", "metrics.json"):
        if not (folder / name).is_file():
            raise InputError(f"checkpoint '{folder}' has no {name}; give a folder that a search or training wrote")
    config = parse_config(flatten(load_yaml(folder / "config.yaml")), str(folder / "config.yaml"))
    metrics = _metrics(folder)
    names = tuple(metrics.pop("class_names"))
    model = build_model(replace(config.model, pretrained=False), len(names))
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{folder / 'model.safetensors'}: does not fit its config.yaml ({reason})") from None
    return Checkpoint(model.eval(), config, names, metrics)


def class_names(folder: Path) -> tuple[str, ...]:
    """The class names of a checkpoint folder.

    Raises:
        InputError: its metrics.json has none.
    """
    return tuple(_metrics(folder)["class_names"])


def _metrics(folder: Path) -> dict[str, Any]:
    try:
        metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
        tuple(metrics["class_names"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / 'metrics.json'}: not a checkpoint's metrics with class_names ({error})") from None
    return metrics
