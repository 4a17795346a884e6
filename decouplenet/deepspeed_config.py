"""DeepSpeed's settings, from the config's keys and the user's file; needs neither DeepSpeed nor torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decouplenet.config import Config
from decouplenet.errors import InputError

# Settings of DeepSpeed that are keys of ours under another name.
OURS = {
    "optimizer": "optim.name and the other optim keys",
    "scheduler": "optim.schedule",
    "fp16": "train.precision",
    "bf16": "train.precision",
    "torch_autocast": "train.precision",
    "amp": "train.precision",
}


def deepspeed_config(config: Config, world: int) -> dict[str, Any]:
    """DeepSpeed's settings for a config, with those of `train.deepspeed_config`.

    Raises:
        InputError: the file cannot be read, or says something else than a key of ours.
    """
    train = config.train
    share = max(1, train.batch_size // (world * train.accumulation))
    decided: dict[str, tuple[Any, str]] = {
        "train_batch_size": (train.batch_size, "train.batch_size"),
        "train_micro_batch_size_per_gpu": (share, "train.batch_size over workers and train.accumulation"),
        "gradient_accumulation_steps": (train.accumulation, "train.accumulation"),
        "gradient_clipping": (train.clip_norm, "train.clip_norm"),
        "zero_optimization.stage": (train.zero_stage, "train.zero_stage"),
    }
    given = read_settings(train.deepspeed_config) if train.deepspeed_config else {}
    file = train.deepspeed_config if train.deepspeed_config and not _is_json(train.deepspeed_config) else "it"
    for key, instead in OURS.items():
        if key in given:
            raise InputError(f"train.deepspeed_config: {file} sets '{key}'; take it out, and use {instead}")
    for key, (value, name) in decided.items():
        section, _, last = key.rpartition(".")
        there = given.get(section, {}) if section else given
        said = there.get(last, value) if isinstance(there, Mapping) else there
        if said not in (value, "auto"):
            raise InputError(
                f"train.deepspeed_config: {file} sets '{key}' to {json.dumps(said)}, and it is {value} by {name}; "
                'take it out, or write "auto"'
            )
    zero: dict[str, Any] = {"reduce_bucket_size": 50_000_000, "allgather_bucket_size": 50_000_000}
    zero |= {**given.get("zero_optimization", {}), "stage": train.zero_stage}
    fixed = {
        # Without train_batch_size, which must be a product: our batches need not be divisible.
        "train_micro_batch_size_per_gpu": share,
        "gradient_accumulation_steps": train.accumulation,
        "gradient_clipping": train.clip_norm,
        "zero_optimization": zero,
    }
    defaults = {"zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False, "steps_per_print": None}
    return {**defaults, **{key: value for key, value in given.items() if key != "train_batch_size"}, **fixed}


def read_settings(source: str) -> dict[str, Any]:
    """What `train.deepspeed_config` says: a JSON file's path, or its content.

    Raises:
        InputError: the file cannot be read, or there is no JSON object.
    """
    where = "train.deepspeed_config" if _is_json(source) else f"train.deepspeed_config: '{source}'"
    try:
        text = source if _is_json(source) else Path(source).expanduser().read_text(encoding="utf-8")
        given = json.loads(text)
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error.strerror}); give the path of a JSON file") from None
    except ValueError as error:
        raise InputError(f"{where} is not JSON ({error})") from None
    if not isinstance(given, dict):
        raise InputError(f"{where} holds a {type(given).__name__}; an object is needed")
    return given


def _is_json(source: str) -> bool:
    return source.lstrip().startswith("{")
