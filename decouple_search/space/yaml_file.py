"""A search space's YAML file, checked.

base: {model: {backbone: resnet101}}             # fixed values, any config key
search:
  model.alpha: {float: [0.0, 1.0]}               # float or int: [low, high], with log, step, grow
  model.attention: {choice: [none, arch1]}
  model.k_neg: {float: [0.01, 1.0], log: true, when: {model.alpha: {gt: 0}}}
start: [{model.alpha: 0.7}]                      # tried first
objective: {metric: val_map, mode: max}          # or a list of objectives
scheduler: {name: promotion, grace_epochs: 1, reduction_factor: 3}
trials: 24                                       # the command line may override this and the next four
sampler: gp
keep_checkpoints: 3
finalists: {count: 3, seeds: 3}                  # the best 3 are trained anew with 3 fresh seeds each
screen: {count: 64, epochs: 4}                   # 64 heads are trained first, on a frozen backbone
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decouple_search.space.space import Space
from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError
from decouplenet.yaml_text import load_yaml

DEFAULTS = ("trials", "sampler", "keep_checkpoints", "finalists", "screen")
"""Keys that the command line may override."""
KEYS = ("base", "search", "start", "objective", "scheduler", *DEFAULTS)


def load_space(path: str | Path, fixed: Mapping[str, Any] | None = None) -> Space:
    """Read a search space. Every key, range and start point is checked before anything starts.

    Args:
        path: the YAML file.
        fixed: config keys that were given on the command line, dotted. A searched key among them is fixed.

    Raises:
        InputError: what is wrong, and where.
    """
    content = load_yaml(path)
    for key in content:
        if key not in KEYS:
            raise InputError(f"{path}: unknown key '{key}'; {nearest(str(key), KEYS)}")
    return Space(**{"search": None, **content}, name=Path(path).stem, fixed=fixed, where=str(path))
