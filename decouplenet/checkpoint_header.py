"""What a checkpoint folder says of its network: config, class names, metrics. Needs no torch, and reads no weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from decouplenet.checkpoint_files import CHECKPOINT_FILES, CONFIG, METRICS, WEIGHTS
from decouplenet.command_line import parse_config
from decouplenet.config import Config
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError, one_line
from decouplenet.yaml_text import load_yaml


class CheckpointHeader(NamedTuple):
    """The small files of a checkpoint folder."""

    config: Config
    """The config of its training."""
    class_names: tuple[str, ...]
    """Names of the C logits."""
    metrics: dict[str, Any]
    """The rest of metrics.json."""


def read_header(folder: Path) -> CheckpointHeader:
    """Read the small files of a checkpoint folder, and check that the file of its weights is whole.

    Raises:
        InputError: the folder is not a checkpoint, or its weights are damaged.
    """
    from safetensors import SafetensorError, safe_open

    for name in CHECKPOINT_FILES:
        if not (folder / name).is_file():
            raise InputError(f"checkpoint '{folder}' has no {name}; give a folder that a search or training wrote")
    config = parse_config(flatten(load_yaml(folder / CONFIG)), str(folder / CONFIG))
    metrics = _metrics(folder)
    try:
        with safe_open(folder / WEIGHTS, framework="numpy"):
            pass
    except SafetensorError as error:
        raise InputError(f"{folder / WEIGHTS}: is damaged ({one_line(error)}); give another checkpoint") from None
    names = tuple(metrics.pop("class_names"))
    return CheckpointHeader(config, names, metrics)


def class_names(folder: Path) -> tuple[str, ...]:
    """The class names of a checkpoint folder.

    Raises:
        InputError: its metrics.json has none.
    """
    return tuple(_metrics(folder)["class_names"])


def _metrics(folder: Path) -> dict[str, Any]:
    try:
        metrics: dict[str, Any] = json.loads((folder / METRICS).read_text())
        tuple(metrics["class_names"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / METRICS}: not the metrics of a checkpoint, with class_names ({error}); give another checkpoint"
        ) from None
    return metrics
