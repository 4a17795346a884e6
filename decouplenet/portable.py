"""A config that runs as it is from any folder, and on machines that have the same data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from decouplenet.config import FACTS, Config
from decouplenet.data.places import is_address
from decouplenet.deepspeed_config import deepspeed_config, read_settings
from decouplenet.dotted_keys import flatten, nest


def with_absolute_paths(config: Config) -> Config:
    """The config with the paths of existing files and of the cache made absolute, and DeepSpeed's file read in.

    Raises:
        InputError: DeepSpeed's settings cannot be read, or contradict the config.
    """
    flat = flatten(config.to_dict())
    for key in ("model.pretrained", *(key for key, facts in FACTS.items() if facts.path)):
        flat[key] = _absolute(flat[key])
    cache = config.data.cache
    if cache != "none" and not cache.startswith("~"):
        flat["data.cache"] = str(Path(cache).resolve())
    if config.train.deepspeed_config:
        deepspeed_config(config, config.scaling.workers_per_trial)
        flat["train.deepspeed_config"] = json.dumps(read_settings(config.train.deepspeed_config))
    return Config.from_dict(nest(flat))


def _absolute(path: Any) -> Any:
    if not isinstance(path, str) or is_address(path):
        return path
    file = Path(path).expanduser()
    if "*" in file.name and file.parent.is_dir():  # a pattern for several files
        return str(file.parent.resolve() / file.name)
    return str(file.resolve()) if file.exists() else path
