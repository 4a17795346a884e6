"""A search's last step (`tune --retrain-best`): the winner trained in full, with the images that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from decouple_search.machines.capacity import Capacity, Resources
from decouple_search.machines.connection import alive
from decouple_search.ray_train.messages import TrainReport
from decouple_search.ray_train.request import TrainRequest
from decouple_search.ray_train.training import open_training
from decouple_search.results.tables import BEST_CONFIG
from decouple_search.storage.folder import Folder
from decouplenet.command_line import print_line
from decouplenet.config import Config
from decouplenet.yaml_text import load_yaml

RETRAINED = "retrained"
"""The training's folder in the experiment's."""
MIN_SHARE = 16
"""Images of a batch that each worker keeps: with fewer, the statistics of batch normalisation are poor."""


def retrain_best(experiment: Folder, *, max_failures: int, cluster: str | None = None) -> TrainReport:
    """Train `best_config.yaml` into `retrained/`, on the connected Ray.

    Args:
        experiment: the experiment's folder.
        max_failures: how often the workers may restart after a loss.
        cluster: the cluster file, for the machines that its autoscaler may add.

    Returns:
        The report of its best epoch; of its last where no validation image is left.

    Raises:
        InputError, TrainingFailed: as `Training`.
    """
    config = full_config(Config.from_dict(load_yaml(experiment.local / BEST_CONFIG)))
    workers = workers_for_batch(config, alive())
    with experiment.child(RETRAINED) as folder:
        request = TrainRequest(
            folder=folder,
            config=config,
            min_workers=workers,
            max_workers=workers,
            max_failures=max_failures,
            cluster=cluster,
        )
        with open_training(request) as training:
            print_line(f"training the best configuration in full, on {workers} workers, into {folder.shown}")
            return training.run()


def full_config(config: Config) -> Config:
    """The config for a training in full.

    The share of the training images that was held out is trained on; validation files stay. A worker that had a share
    of a GPU gets a GPU for itself.
    """
    gpus = config.scaling.gpus_per_worker
    scaling = replace(config.scaling, gpus_per_worker=1.0 if gpus else gpus)
    return replace(config, data=replace(config.data, holdout=0.0), scaling=scaling)


def workers_for_batch(config: Config, machines: Sequence[Resources]) -> int:
    """As many workers as fit while each keeps `MIN_SHARE` images of a batch; at least as many as a trial had."""
    capacity, minimum = Capacity(config.scaling), config.scaling.workers_per_trial
    for workers in range(config.train.batch_size // (MIN_SHARE * config.train.accumulation), minimum, -1):
        if capacity.with_workers(workers).trials(machines):
            return workers
    return minimum
