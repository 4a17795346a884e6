"""A training as the user asked for it, checked without Ray. This module imports no Ray."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from decouple_search.machines.manifest import read_cluster
from decouple_search.storage.folder import Folder
from decouple_search.storage.opening import open_folder
from decouplenet.checkpoint_files import CONFIG
from decouplenet.command_line import flag, parse_config
from decouplenet.config import FACTS, Config
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError
from decouplenet.portable import with_absolute_paths
from decouplenet.yaml_text import load_yaml

FLAGS = "flags.yaml"
"""The file, in a training's folder, of the flags that a resumed training takes."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of a training, which are the flags of `train`."""

    workers: str | None = flag(None)
    """N, or MIN:MAX to grow and shrink with the cluster."""
    storage: str = flag("results")
    """Folder or URI that trainings are kept in."""
    name: str | None = flag(None)
    """The training's folder; default: train and time."""
    resume: bool = flag(False)
    """Resume the training of that --name."""
    max_failures: int = flag(2, minimum=0)
    """How often the workers restart after a lost worker."""
    cluster: str | None = flag(None)
    """File of `ray up` or KubeRay: the machines that may be added."""


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """A training as the user asked for it. It was checked without Ray."""

    folder: Folder
    """The folder to write. It has a config.yaml if the training resumes."""
    config: Config
    """The configuration to train."""
    min_workers: int
    """Workers that are enough."""
    max_workers: int
    """Workers that are wanted."""
    max_failures: int
    """How often the workers may restart after a loss."""
    cluster: str | None = None
    """The cluster file, for the machines that its autoscaler may add."""

    @property
    def is_elastic(self) -> bool:
        """Whether the number of workers follows the cluster."""
        return self.min_workers < self.max_workers


def request_training(options: TrainOptions, keys: Mapping[str, Any], where: str = "config") -> TrainRequest:
    """The training that options and config keys ask for, checked.

    Args:
        options: the options.
        keys: the given config keys, dotted. A resumed training has its earlier keys too.
        where: the place of the keys, for errors.

    Raises:
        InputError: what is wrong, and where.
    """
    keys = dict(keys)
    if options.resume and not options.name:
        raise InputError("--resume: which training? Give its --name")
    folder = open_folder(options.storage, options.name or f"train-{time.strftime('%Y%m%d-%H%M%S')}")
    before: dict[str, Any] = {}
    if options.resume:
        before, options = _earlier(folder, options)
        keys = before | keys
    elif folder.exists():
        raise InputError(f"--name: '{folder.shown}' is there already; give another --name, or --resume")
    if options.cluster:
        read_cluster(options.cluster)
    config = with_absolute_paths(parse_config(keys, where))
    for key, value in flatten(config.to_dict()).items():
        if FACTS[key].bound and value != before.get(key, value):
            raise InputError(f"{key}: {value} is not what the training started with ({before[key]}); it cannot change")
    min_workers, max_workers = _workers(options.workers, config.scaling.workers_per_trial)
    config.check_batch(max_workers, "--workers")
    return TrainRequest(
        folder=folder,
        config=config,
        min_workers=min_workers,
        max_workers=max_workers,
        max_failures=options.max_failures,
        cluster=options.cluster,
    )


def _earlier(folder: Folder, options: TrainOptions) -> tuple[dict[str, Any], TrainOptions]:
    """The config keys of the training that is resumed, and the options with its number of workers."""
    config_file = folder.pull(CONFIG)
    if config_file is None:
        raise InputError(
            f"--resume: '{folder.shown}' is no training's folder; give the --storage and --name of a training"
        )
    flags_file = folder.pull(FLAGS)
    if options.workers is None and flags_file:
        options = replace(options, workers=load_yaml(flags_file)["workers"])
    return flatten(load_yaml(config_file)), options


def _workers(text: str | None, default: int) -> tuple[int, int]:
    """The minimum and the maximum of workers."""
    if text is None:
        return default, default
    low, colon, high = text.partition(":")
    if not low.isdigit() or (colon and not high.isdigit()) or int(low) < 1 or (colon and int(high) < int(low)):
        raise InputError(f"--workers: '{text}' is neither a number from 1 nor MIN:MAX, such as 2:8")
    return int(low), int(high if colon else low)
