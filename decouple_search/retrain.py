"""A search's last step (`tune --retrain-best`): the winner trained in full, with the images that were held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from decouple_search.plan import slots
from decouple_search.storage import Folder
from decouple_search.training import Training
from decouplenet.command_line import say
from decouplenet.config import Config, load_yaml

SHARE = 16
"""Images of a batch that a worker keeps at least: on fewer, batch normalisation's statistics are poor."""


def retrain_best(experiment: Path, *, max_failures: int) -> dict[str, Any]:
    """Train `best_config.yaml` into `retrained/`, a training's folder, on the connected Ray.

    Args:
        experiment: the experiment's folder.
        max_failures: times to start the workers again after one is lost.

    Returns:
        The measures of its best epoch; of its last where no image is left to measure it on.

    Raises:
        InputError, TrainingFailed: as `Training`.
    """
    config = full_config(Config.from_dict(load_yaml(experiment / "best_config.yaml")))
    single = replace(config, scaling=replace(config.scaling, workers_per_trial=1))
    workers = workers_for(config, slots(single, [node["Resources"] for node in ray.nodes() if node["Alive"]]))
    with (
        Folder(str(experiment), "retrained") as folder,
        Training(folder, config, (workers, workers), max_failures=max_failures) as training,
    ):
        say(f"training the best configuration in full, on {workers} workers, into {folder.shown}")
        return training.run()


def full_config(config: Config) -> Config:
    """The config with the share of the training images that was held out among them; val files stay what they are."""
    return replace(config, data=replace(config.data, holdout=0.0))


def workers_for(config: Config, room: int) -> int:
    """As many workers as there is room for, while each keeps `SHARE` images of a batch; not fewer than a trial had."""
    least = config.scaling.workers_per_trial
    return max(least, min(room, config.train.batch_size // (SHARE * config.train.accumulation)))
