"""DeepSpeed's settings, from the config's keys and the user's file. Imports neither DeepSpeed nor torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decouplenet.config import Config
from decouplenet.errors import InputError

CONFIG_KEYS = {
    "optimizer": "optim.name and the other optim keys",
    "scheduler": "optim.schedule",
    "fp16": "train.precision",
    "bf16": "train.precision",
    "torch_autocast": "train.precision",
    "amp": "train.precision",
}
"""Settings of DeepSpeed that the user's file must not have, and the config keys that replace them."""


def deepspeed_config(config: Config, world: int) -> dict[str, Any]:
    """DeepSpeed's settings for a config and `world` workers, including those of `train.deepspeed_config`.

    Raises:
        InputError: the file cannot be read, or contradicts a config key.
    """
    train = config.train
    share = max(1, train.batch_size // (world * train.accumulation))
    given = read_settings(train.deepspeed_config) if train.deepspeed_config else {}
    _check_agreement(given, config, share)
    zero: dict[str, Any] = {"reduce_bucket_size": 50_000_000, "allgather_bucket_size": 50_000_000}
    zero |= {**given.get("zero_optimization", {}), "stage": train.zero_stage}
    fixed = {
        # train_batch_size is left out: DeepSpeed requires it to be divisible, and our batches need not be.
        "train_micro_batch_size_per_gpu": share,
        "gradient_accumulation_steps": train.accumulation,
        "gradient_clipping": train.clip_norm,
        "zero_optimization": zero,
    }
    defaults = {"zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False, "steps_per_print": None}
    return {**defaults, **{key: value for key, value in given.items() if key != "train_batch_size"}, **fixed}


def _check_agreement(given: Mapping[str, Any], config: Config, share: int) -> None:
    """Refuse settings of the user's file that contradict config keys.

    Args:
        given: the file's settings.
        config: the config.
        share: images in a worker's micro-batch.

    Raises:
        InputError: at the first contradiction.
    """
    train = config.train
    source = train.deepspeed_config or ""
    file = "the JSON" if _is_json(source) else source
    for key, replacement in CONFIG_KEYS.items():
        if key in given:
            raise InputError(f"train.deepspeed_config: {file} sets '{key}'; remove it and use {replacement}")
    decided: dict[str, tuple[Any, str]] = {
        "train_batch_size": (train.batch_size, "train.batch_size"),
        "train_micro_batch_size_per_gpu": (share, "train.batch_size, the workers and train.accumulation"),
        "gradient_accumulation_steps": (train.accumulation, "train.accumulation"),
        "gradient_clipping": (train.clip_norm, "train.clip_norm"),
        "zero_optimization.stage": (train.zero_stage, "train.zero_stage"),
    }
    for key, (value, name) in decided.items():
        section_name, _, last = key.rpartition(".")
        section = given.get(section_name, {}) if section_name else given
        setting = section.get(last, value) if isinstance(section, Mapping) else section
        if setting not in (value, "auto"):
            raise InputError(
                f"train.deepspeed_config: {file} sets '{key}' to {json.dumps(setting)}, but it must be {value} "
                f'({name}); remove it or set it to "auto"'
            )


def read_settings(source: str) -> dict[str, Any]:
    """The settings in `train.deepspeed_config`.

    Args:
        source: the path of a JSON file, or its content.

    Raises:
        InputError: the file cannot be read, or does not hold a JSON object.
    """
    where = "train.deepspeed_config" if _is_json(source) else f"train.deepspeed_config: '{source}'"
    try:
        text = source if _is_json(source) else Path(source).expanduser().read_text(encoding="utf-8")
        settings = json.loads(text)
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error.strerror}); give the path of a JSON file") from None
    except ValueError as error:
        raise InputError(f"{where} is not JSON ({error}); correct it") from None
    if not isinstance(settings, dict):
        raise InputError(f"{where} holds a {type(settings).__name__}; give a JSON object")
    return settings


def _is_json(source: str) -> bool:
    return source.lstrip().startswith("{")
