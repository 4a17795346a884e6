"""`python -m decouple_search.train`: train one configuration with Ray Train, and keep its best and last checkpoint.

This module reads the command line and prints the plan and the result. `ray_train/training.py` does the work.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from typing import Any

from decouple_search.machines.manifest import read_cluster
from decouple_search.portable import with_absolute_paths
from decouple_search.ray_train.request import FLAGS, TrainRequest
from decouple_search.storage.folder import Folder
from decouple_search.storage.opening import open_folder
from decouplenet.checkpoint_files import CONFIG
from decouplenet.command_line import CommandParser, flag, parse_config, print_line, run
from decouplenet.config import FACTS
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError
from decouplenet.yaml_text import load_yaml


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The command's own flags."""

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


def parser() -> CommandParser[Flags]:
    """The command's flags and all config keys."""
    return CommandParser(
        "python -m decouple_search.train",
        "Train one configuration, such as a search's best_config.yaml, and keep its best and its last checkpoint.",
        Flags,
    )


def read(arguments: list[str] | None) -> TrainRequest:
    """The training that a command line asks for, checked.

    Raises:
        InputError: what is wrong, and where.
    """
    line = parser().given(arguments)
    flags, keys = line.flags, line.keys
    if flags.resume and not flags.name:
        raise InputError("--resume: which training? Give its --name")
    folder = open_folder(flags.storage, flags.name or f"train-{time.strftime('%Y%m%d-%H%M%S')}")
    before: dict[str, Any] = {}
    if flags.resume:
        before, flags = _earlier(folder, flags)
        keys = before | keys
    elif folder.exists():
        raise InputError(f"--name: '{folder.shown}' is there already; give another --name, or --resume")
    if flags.cluster:
        read_cluster(flags.cluster)
    config = with_absolute_paths(parse_config(keys, line.config_file or "config"))
    for key, value in flatten(config.to_dict()).items():
        if FACTS[key].bound and value != before.get(key, value):
            raise InputError(f"{key}: {value} is not what the training started with ({before[key]}); it cannot change")
    min_workers, max_workers = _workers(flags.workers, config.scaling.workers_per_trial)
    config.check_batch(max_workers, "--workers")
    return TrainRequest(
        folder=folder,
        config=config,
        min_workers=min_workers,
        max_workers=max_workers,
        max_failures=flags.max_failures,
        cluster=flags.cluster,
    )


def _earlier(folder: Folder, flags: Flags) -> tuple[dict[str, Any], Flags]:
    """The config keys of the training that is resumed, and the flags with its number of workers."""
    config_file = folder.pull(CONFIG)
    if config_file is None:
        raise InputError(
            f"--resume: '{folder.shown}' is no training's folder; give the --storage and --name of a training"
        )
    flags_file = folder.pull(FLAGS)
    if flags.workers is None and flags_file:
        flags = replace(flags, workers=load_yaml(flags_file)["workers"])
    return flatten(load_yaml(config_file)), flags


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    request = read(arguments)

    from decouple_search.ray_train.training import open_training  # Ray takes seconds to import

    config, folder = request.config, request.folder
    with folder, open_training(request) as training:
        gpus = training.config.scaling.gpus_per_worker
        resources = f"{config.scaling.cpus_per_worker:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
        count = f"{request.min_workers} to {request.max_workers}" if request.is_elastic else f"{request.max_workers}"
        strategy = f"deepspeed, ZeRO {config.train.zero_stage}" if config.train.strategy == "deepspeed" else "ddp"
        print_line(f"data       {config.data.format}, {config.data.image_size} px")
        print_line(f"workers    {count}, {resources} each; {strategy}, {config.train.precision}")
        print_line(f"batch      {config.train.batch_size} images over all workers, {config.train.epochs} epochs")
        print_line(f"results    {folder.shown}")
        best = training.run()
    metric = config.train.objective
    measured = f", {metric} {best.measures[metric]:.4f}" if metric in best.measures else ""
    measured = measured or "; no image was held out to measure it on"
    print_line(f"best       epoch {best.epoch}{measured}\n             best_checkpoint in {folder.shown}")
    return 0


def _workers(text: str | None, default: int) -> tuple[int, int]:
    """The minimum and the maximum of workers."""
    if text is None:
        return default, default
    low, colon, high = text.partition(":")
    if not low.isdigit() or (colon and not high.isdigit()) or int(low) < 1 or (colon and int(high) < int(low)):
        raise InputError(f"--workers: '{text}' is neither a number from 1 nor MIN:MAX, such as 2:8")
    return int(low), int(high if colon else low)


if __name__ == "__main__":
    sys.exit(run(main))
