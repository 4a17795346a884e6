"""`python -m decouple_search.train`: train one configuration with Ray Train, and keep its best and last checkpoint.

Only reads the command line and says what will happen; `training.py` does the work.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from decouple_search.machines.manifest import read_cluster
from decouple_search.portable import self_contained
from decouple_search.storage.folder import Folder
from decouplenet.command_line import CommandParser, parse_config, print_line, run
from decouplenet.config import Config, flatten, load_yaml
from decouplenet.errors import InputError

BOUND = ("model.", "data.", "optim.name", "train.batch_size", "train.seed")
"""Beginnings of the keys that a training cannot change on its way: network, data and the order of the images."""
LOOSE = ("model.pretrained", "data.workers", "data.cache")


def parser() -> CommandParser:
    """The command's flags and all config keys."""
    parser = CommandParser(
        "python -m decouple_search.train",
        "Train one configuration, such as a search's best_config.yaml, and keep its best and its last checkpoint.",
    )
    parser.add_argument("--workers", type=str | None, default=None, help="N, or MIN:MAX to grow and shrink")
    parser.add_argument("--storage", type=str, default="results", help="folder or URI that trainings are kept in")
    parser.add_argument("--name", type=str | None, default=None, help="the training's folder; default: train and time")
    parser.add_argument("--resume", action="store_true", help="go on with the training of that --name")
    parser.add_argument("--max-failures", type=int, default=2, help="times to start again after a lost worker")
    parser.add_argument(
        "--cluster", type=str | None, default=None, help="file of `ray up` or KubeRay: machines that may be added"
    )
    parser.add_config_keys()
    return parser


def read(arguments: list[str] | None) -> tuple[Folder, Config, tuple[int, int], dict[str, Any]]:
    """The folder, the configuration, the least and most workers, and the command's own flags, all checked.

    Raises:
        InputError: what is wrong, and where.
    """
    own, keys = parser().given(arguments)
    if own["resume"] and not own["name"]:
        raise InputError("--resume: which training? Give its --name")
    if own["max_failures"] < 0:
        raise InputError(f"--max-failures: {own['max_failures']} is out of range; it must be at least 0")
    name = own["name"] or f"train-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Folder(own["storage"], name)
    was: dict[str, Any] = {}
    if own["resume"]:
        begun = folder.pull("config.yaml")
        if begun is None:
            raise InputError(
                f"--resume: '{folder.shown}' is no training's folder; give the --storage and --name of one"
            )
        was = flatten(load_yaml(begun))
        keys = was | keys
        flags = folder.pull("flags.yaml")
        own["workers"] = own["workers"] or (load_yaml(flags)["workers"] if flags else None)
    elif folder.exists():
        raise InputError(f"--name: '{folder.shown}' is there already; give another --name, or --resume")
    if own["cluster"]:
        read_cluster(own["cluster"])
    config = self_contained(parse_config(keys, own["config"] or "config"))
    for key, value in flatten(config.to_dict()).items():
        if key.startswith(BOUND) and key not in LOOSE and value != was.get(key, value):
            raise InputError(f"{key}: {value} is not what the training began with ({was[key]}); it cannot change")
    least, most = _workers(own["workers"], config.scaling.workers_per_trial)
    config.check_batch(most, "--workers")
    return folder, config, (least, most), own


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    folder, config, workers, own = read(arguments)

    from decouple_search.ray_train.training import (
        Training,  # Ray takes seconds to import, and nothing before this needs it
    )

    training = Training(folder, config, workers, max_failures=own["max_failures"], cluster=own["cluster"])
    with folder, training:
        gpus = training.config.scaling.gpus_per_worker
        each = f"{config.scaling.cpus_per_worker:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
        count = f"{workers[0]}" if workers[0] == workers[1] else f"{workers[0]} to {workers[1]}"
        strategy = f"deepspeed, ZeRO {config.train.zero_stage}" if config.train.strategy == "deepspeed" else "ddp"
        print_line(f"data       {config.data.format}, {config.data.image_size} px")
        print_line(f"workers    {count}, {each} each; {strategy}, {config.train.precision}")
        print_line(f"batch      {config.train.batch_size} images over all workers, {config.train.epochs} epochs")
        print_line(f"results    {folder.shown}")
        best = training.run()
    measured = f", val_map {best['val_map']:.4f}" if "val_map" in best else "; nothing was held out to measure it on"
    print_line(f"best       epoch {best['epoch']}{measured}\n             best_checkpoint in {folder.shown}")
    return 0


def _workers(text: str | None, default: int) -> tuple[int, int]:
    if text is None:
        return default, default
    least, colon, most = text.partition(":")
    if not least.isdigit() or (colon and not most.isdigit()) or int(least) < 1 or (colon and int(most) < int(least)):
        raise InputError(f"--workers: '{text}' is neither a number from 1 nor MIN:MAX, such as 2:8")
    return int(least), int(most if colon else least)


if __name__ == "__main__":
    sys.exit(run(main))
