"""Scores of checkpoints on all workers of a connected Ray: each worker scores a share of the images.

The shares are tasks that know nothing of each other. The share of a lost machine is scored by another one. Only the
tasks import torch: a search's driver does without its seconds.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import ray
from numpy.typing import NDArray

from decouple_search.evaluation.member import EnsembleMember
from decouple_search.gang.carried import pack_extensions, unpack_extensions
from decouple_search.gang.errors import is_loss, message_of
from decouple_search.machines.connection import available, connect
from decouple_search.machines.prepare import opened_images
from decouplenet.allocator import allocator_environment
from decouplenet.checkpoint_files import CHECKPOINT_FILES
from decouplenet.checkpoint_header import CheckpointHeader, read_header
from decouplenet.command_line import print_line
from decouplenet.config import Config
from decouplenet.data.image_set import ImageSet
from decouplenet.errors import InputError, TrainingFailed
from decouplenet.metrics import ScoreAccumulator


class Scored(NamedTuple):
    """The scores of checkpoints."""

    images: ImageSet
    """N images."""
    scores: list[NDArray[np.float32]]
    """Probabilities, N×C per checkpoint."""
    losses: list[float]
    """The mean binary cross-entropy of each checkpoint, over the pairs of image and class that count."""
    trained: list[Config]
    """The configs that trained the checkpoints."""
    seconds: float
    """Seconds that the scoring took."""


def score_all(
    members: Sequence[EnsembleMember], *, split: str, workers: int | None, cluster: str | None = None
) -> Scored:
    """Score images with checkpoints.

    Args:
        members: the checkpoints.
        split: train, val or test.
        workers: the number of workers; None for all that fit.
        cluster: the cluster file, for the machines that its autoscaler may add.

    Raises:
        InputError: checkpoints and data do not fit together, or no worker fits.
        TrainingFailed: a worker was lost too often, ran out of memory, or made scores that are not finite.
    """
    started = time.monotonic()
    headers = [read_header(member.folder) for member in members]
    with connect(cluster) as connection:
        first = members[0].config
        single = replace(first, scaling=replace(first.scaling, workers_per_trial=1, min_workers_per_trial=None))
        resolved, machines, fitting = available(single, connection.limits())
        if workers is not None and workers > fitting:
            raise InputError(f"--workers: {workers} do not fit; there is room for {fitting}")
        sets = [opened_images(member.config, split, decode=len(machines) == 1) for member in members]
        if not len(sets[0]):
            raise InputError(f"--split: there are no {split} images (data.holdout 0); give data.val_annotations")
        _check_fit(members, headers, sets, split)
        count = len(sets[0])
        calls = []
        for member in members:
            config = _scoring_config(member.config, resolved, workers or fitting, count, fixed=workers is not None)
            calls.append(_start(member.folder, config, split))
        scores, losses = [], []
        for member, shares, images in zip(members, calls, sets, strict=True):
            gathered, loss = _gather(shares, count, member.name)
            scores.append(gathered)
            losses.append(loss / images.counted)
            if len(members) > 1:
                print_line(f"{time.monotonic() - started:7.1f} s  {member.name} has scored {count} images")
    trained = [header.config for header in headers]
    return Scored(sets[0], scores, losses, trained, round(time.monotonic() - started, 2))


def _scoring_config(config: Config, resolved: Config, workers: int, images: int, *, fixed: bool) -> Config:
    """A checkpoint's config for its scoring: each worker takes batches of the size that a worker of the training took.

    Args:
        config: the checkpoint's.
        resolved: its scaling has the GPUs per worker.
        workers: the number of workers.
        images: the number of images.
        fixed: whether the number of workers may not be lower where there are few images.
    """
    share = -(-config.train.batch_size // config.scaling.workers_per_trial)
    world = workers if fixed else min(workers, -(-images // share))
    scaling = replace(resolved.scaling, workers_per_trial=world)
    return replace(config, scaling=scaling, train=replace(config.train, batch_size=share * world))


def score_share(
    files: Mapping[str, bytes], shown: str, config: Config, split: str, rank: int, extensions: bytes
) -> tuple[ScoreAccumulator, float]:
    """Score a worker's share of the images, and sum their binary cross-entropy; a Ray task.

    Args:
        files: the checkpoint's files by name; this may be another machine than the driver's.
        shown: the checkpoint's folder, for messages.
        config: data, precision, and the number of workers.
        split: train, val or test.
        rank: the number of this share.
        extensions: the packed extensions of the driver.
    """
    import torch

    from decouplenet.checkpoint import read_checkpoint
    from decouplenet.data.batches import Batches
    from decouplenet.data.formats import load_split
    from decouplenet.data.opened import open_split
    from decouplenet.scoring import memory_errors, score

    unpack_extensions(extensions)
    torch.set_num_threads(max(1, int(config.scaling.cpus_per_worker)))
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in files.items():
            (Path(scratch) / name).write_bytes(content)
        network = read_checkpoint(scratch, shown).model
    data, world = config.data, config.scaling.workers_per_trial
    images, pixels, _ = open_split(load_split(data, split), data, split)
    batches = Batches(images, pixels, config.train.batch_size, rank=rank, world=world, threads=data.workers)
    device = torch.device("cuda" if config.scaling.gpus_per_worker else "cpu")
    with memory_errors(config):
        network = network.to(device)
    scores, loss = score(network, batches.evaluation(), config, device)
    if not bool(torch.isfinite(loss)):
        raise TrainingFailed(f"scores are not finite in {config.train.precision}; try --train.precision fp32")
    return scores, float(loss)


def _start(checkpoint: Path, config: Config, split: str) -> list[Any]:
    """The pending shares of a checkpoint's folder."""
    scaling = config.scaling
    task: Callable[..., Any] = ray.remote(
        num_cpus=scaling.cpus_per_worker,
        num_gpus=scaling.gpus_per_worker or 0,
        runtime_env={"env_vars": allocator_environment()},
    )(score_share).remote
    files = ray.put({name: (checkpoint / name).read_bytes() for name in CHECKPOINT_FILES})
    extensions = pack_extensions()
    return [task(files, str(checkpoint), config, split, rank, extensions) for rank in range(scaling.workers_per_trial)]


def _gather(shares: Sequence[Any], images: int, name: str) -> tuple[NDArray[np.float32], float]:
    """The scores N×C of all shares, and their summed loss."""
    try:
        answers: list[tuple[ScoreAccumulator, float]] = ray.get(list(shares))
    except (InputError, TrainingFailed) as error:
        kind = InputError if isinstance(error, InputError) else TrainingFailed
        raise kind(f"{name}: {message_of(error)}") from None
    except ray.exceptions.RayError as error:
        if not is_loss(error):
            raise
        raise TrainingFailed(f"{name}: a worker was lost ({message_of(error)})") from None
    merged = ScoreAccumulator().merge([scores for scores, _ in answers])
    return merged.arrays(images)[0], sum(loss for _, loss in answers)


def _check_fit(
    members: Sequence[EnsembleMember], headers: Sequence[CheckpointHeader], sets: Sequence[ImageSet], split: str
) -> None:
    """Refuse checkpoints of other classes than the data's, and checkpoints with different images."""
    for member, header, images in zip(members, headers, sets, strict=True):
        trained, given = header.class_names, images.class_names
        if trained != given:
            differing = sorted(set(trained) ^ set(given))
            detail = f"only one has {differing[:5]}" if differing else "in another order"
            raise InputError(
                f"{member.name}: its classes are not the data's ({detail}); give the data that it was trained on"
            )
        if images.paths != sets[0].paths:
            raise InputError(
                f"{member.name}: its {split} images differ from those of {members[0].name}; give data keys for all"
            )
