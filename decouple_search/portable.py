"""A config that runs as it is from any folder, and on machines that have the same data: what every command makes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from decouplenet.config import Config
from decouplenet.deepspeed_config import deepspeed_config, read_settings


def self_contained(config: Config) -> Config:
    """The config with the paths of what is here, and of the cache, made absolute, and DeepSpeed's file read in.

    Raises:
        InputError: DeepSpeed's settings cannot be read, or contradict the config.
    """
    data, model, train = config.data, config.model, config.train
    names = ("train_annotations", "train_images", "val_annotations", "val_images")
    found = {name: _absolute(getattr(data, name)) for name in names}
    if data.cache != "none" and not data.cache.startswith("~"):
        found["cache"] = str(Path(data.cache).resolve())
    if train.deepspeed_config:
        deepspeed_config(config, config.scaling.workers_per_trial)
        train = replace(train, deepspeed_config=json.dumps(read_settings(train.deepspeed_config)))
    model = replace(model, pretrained=_absolute(model.pretrained))
    return replace(config, data=replace(data, **found), model=model, train=train)


def _absolute(path: Any) -> Any:
    if isinstance(path, str) and Path(path).expanduser().exists():
        return str(Path(path).expanduser().resolve())
    return path
