"""Scores of checkpoints on all workers of a connected Ray: each scores its share of the images, the driver measures.

The shares are tasks that know nothing of each other, so one whose machine is lost is done again elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import ray
from numpy.typing import NDArray

from decouple_search.evaluate import Member
from decouple_search.gang.gang import cause_of, is_loss
from decouple_search.machines.connection import connect, room
from decouple_search.machines.prepare import open_split
from decouplenet.checkpoint import Checkpoint, read_checkpoint
from decouplenet.command_line import print_line
from decouplenet.config import Config
from decouplenet.data.image_set import ImageSet
from decouplenet.errors import InputError, TrainingFailed
from decouplenet.metrics import ScoreAccumulator


class Scored(NamedTuple):
    """What checkpoints made of images."""

    images: ImageSet
    """N images."""
    scores: list[NDArray[np.float32]]
    """Probabilities, N×C a checkpoint."""
    trained: list[Config]
    """The configs that trained them."""
    seconds: float
    """That it took."""


def score_all(members: Sequence[Member], *, split: str, workers: int | None, cluster: str | None = None) -> Scored:
    """Score images with checkpoints.

    Args:
        members: the checkpoints.
        split: train or val.
        workers: how many; None for all that fit.
        cluster: file of the cluster, for the machines that its autoscaler may add.

    Raises:
        InputError: checkpoints and data do not fit together, or no worker fits.
        TrainingFailed: a worker was lost too often, ran out of memory, or made scores that are not finite.
    """
    began = time.monotonic()
    checkpoints = [(name, read_checkpoint(folder), config) for name, folder, config in members]
    ours, growth = connect(cluster)
    try:
        single = replace(members[0].config.scaling, workers_per_trial=1)
        resolved, nodes, most = room(replace(members[0].config, scaling=single), growth())
        if workers is not None and workers > most:
            raise InputError(f"--workers: {workers} do not fit; there is room for {most}")
        sets = [open_split(config, split, decode=len(nodes) == 1) for _, _, config in checkpoints]
        if not len(sets[0]):
            raise InputError(f"--split: there are no {split} images (data.holdout 0); give data.val_annotations")
        _check_fit(checkpoints, sets, split)
        asked = []
        for _, checkpoint, config in checkpoints:
            share = -(-config.train.batch_size // config.scaling.workers_per_trial)  # a worker's, in the training
            world = workers or min(most, -(-len(sets[0]) // share))
            scaling = replace(resolved.scaling, workers_per_trial=world)
            train = replace(config.train, batch_size=share * world)
            asked.append(_ask(checkpoint, replace(config, scaling=scaling, train=train), split))
        scores = []
        for (name, *_), calls in zip(checkpoints, asked, strict=True):
            scores.append(_gather(calls, len(sets[0]), name))
            if len(members) > 1:
                print_line(f"{time.monotonic() - began:7.1f} s  {name} has scored {len(sets[0])} images")
    finally:
        if ours:
            ray.shutdown()
    trained = [checkpoint.config for _, checkpoint, _ in checkpoints]
    return Scored(sets[0], scores, trained, round(time.monotonic() - began, 2))


def score_share(checkpoint: Checkpoint, config: Config, split: str, rank: int) -> ScoreAccumulator:
    """Score a worker's share of the images; a Ray task.

    Args:
        checkpoint: whose network.
        config: data, precision, and the number of workers.
        split: train or val.
        rank: this share's number.
    """
    import torch

    from decouplenet.data.batches import Batches
    from decouplenet.data.cache import open_pixels
    from decouplenet.data.formats import load_image_sets
    from decouplenet.scoring import memory_errors, score

    torch.set_num_threads(max(1, int(config.scaling.cpus_per_worker)))
    data, world = config.data, config.scaling.workers_per_trial
    images = load_image_sets(data)[split == "val"]
    pixels = open_pixels(images, data.image_size, data.cache, threads=data.workers)
    batches = Batches(images, pixels, config.train.batch_size, rank=rank, world=world, threads=data.workers)
    device = torch.device("cuda" if config.scaling.gpus_per_worker else "cpu")
    with memory_errors(config):
        network = checkpoint.model.to(device)
    scores, loss = score(network, batches.evaluation(), config, device)
    if not bool(torch.isfinite(loss)):
        raise TrainingFailed(f"scores are not finite in {config.train.precision}; try --train.precision fp32")
    return scores


def _ask(checkpoint: Checkpoint, config: Config, split: str) -> list[Any]:
    scaling = config.scaling
    task: Callable[..., Any] = ray.remote(num_cpus=scaling.cpus_per_worker, num_gpus=scaling.gpus_per_worker or 0)(
        score_share
    ).remote
    held = ray.put(checkpoint)
    return [task(held, config, split, rank) for rank in range(scaling.workers_per_trial)]


def _gather(calls: Sequence[Any], images: int, name: str) -> NDArray[np.float32]:
    try:
        shares: list[ScoreAccumulator] = ray.get(list(calls))
    except (InputError, TrainingFailed) as error:
        raise (InputError if isinstance(error, InputError) else TrainingFailed)(f"{name}: {cause_of(error)}") from None
    except ray.exceptions.RayError as error:
        if not is_loss(error):
            raise
        raise TrainingFailed(f"{name}: a worker was lost ({cause_of(error)})") from None
    return ScoreAccumulator().merge(shares).arrays(images)[0]


def _check_fit(checkpoints: Sequence[tuple[str, Checkpoint, Config]], sets: Sequence[ImageSet], split: str) -> None:
    """All checkpoints know the data's classes, and are measured on the same images."""
    for (name, checkpoint, _), images in zip(checkpoints, sets, strict=True):
        ours, theirs = checkpoint.class_names, images.class_names
        if ours != theirs:
            apart = sorted(set(ours) ^ set(theirs))
            detail = f"only one has {apart[:5]}" if apart else "in another order"
            raise InputError(f"{name}: its classes are not the data's ({detail}); give the data that it was made for")
        if images.paths != sets[0].paths:
            raise InputError(
                f"{name}: its {split} images are others than those of {checkpoints[0][0]}; give data keys for all"
            )
