"""A search's last step (`tune --retrain-best`): the winner trained in full, with the images that were held out."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray

from decouple_search.plan import slots
from decouple_search.ray_train.training import Training
from decouple_search.storage.folder import Folder
from decouplenet.command_line import print_line
from decouplenet.config import Config, load_yaml
from decouplenet.errors import InputError

SHARE = 16
"""Images of a batch that a worker keeps at least: on fewer, batch normalisation's statistics are poor."""


def retrain_best(experiment: Folder, *, max_failures: int, cluster: str | None = None) -> dict[str, Any]:
    """Train `best_config.yaml` into `retrained/`, a training's folder, on the connected Ray.

    Args:
        experiment: the experiment's folder.
        max_failures: times to start the workers again after one is lost.
        cluster: file of the cluster, for the machines that its autoscaler may add.

    Returns:
        The measures of its best epoch; of its last where no image is left to measure it on.

    Raises:
        InputError, TrainingFailed: as `Training`.
    """
    config = full_config(Config.from_dict(load_yaml(experiment.local / "best_config.yaml")))
    workers = workers_for(config, [node["Resources"] for node in ray.nodes() if node["Alive"]])
    with (
        experiment.child("retrained") as folder,
        Training(folder, config, (workers, workers), max_failures=max_failures, cluster=cluster) as training,
    ):
        print_line(f"training the best configuration in full, on {workers} workers, into {folder.shown}")
        return training.run()


def full_config(config: Config) -> Config:
    """The config for a training in full.

    The share of the training images that was held out is among them; val files stay what they are. A worker
    that had a share of a GPU gets one for itself.
    """
    gpus = config.scaling.gpus_per_worker
    scaling = replace(config.scaling, gpus_per_worker=1.0 if gpus else gpus)
    return replace(config, data=replace(config.data, holdout=0.0), scaling=scaling)


def workers_for(config: Config, nodes: Sequence[Mapping[str, float]]) -> int:
    """As many workers as fit, while each keeps `SHARE` images of a batch; not fewer than a trial had."""
    least = config.scaling.workers_per_trial
    for workers in range(config.train.batch_size // (SHARE * config.train.accumulation), least, -1):
        with contextlib.suppress(InputError):
            slots(replace(config, scaling=replace(config.scaling, workers_per_trial=workers)), nodes)
            return workers
    return least
