"""What a search will do, worked out before anything starts: rungs, concurrency, bytes on disk."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from decouple_search.space import Space
from decouplenet.config import Config, nearest
from decouplenet.errors import InputError

SCHEDULERS = ("asha", "none")


@dataclass(frozen=True)
class Options:
    """What the command's own flags say."""

    space: str
    """File of the search space."""
    trials: int | None
    """Trials in all; None for the space's own number."""
    time_budget: float | None
    """Seconds after which no trial goes on."""
    storage: str
    """Folder that experiments are kept in."""
    name: str | None
    """The experiment's folder in it."""
    max_concurrent: int | None
    """Trials at a time; None for all that fit."""
    sampler: str
    """How configurations are chosen."""
    scheduler: str | None
    """Name of the scheduler; None for the space's own."""
    seed: int
    """Seed of the sampler."""
    max_failures: int
    """Times a trial is started again after a lost worker."""
    dry_run: bool
    """Whether only the plan is wanted."""


@dataclass(frozen=True)
class Scheduler:
    """When a trial is stopped before its last epoch."""

    name: str
    """asha or none."""
    grace_epochs: int = 1
    """Epochs that every trial trains."""
    reduction_factor: float = 3
    """Of the trials that reach a rung, one in this many goes on."""

    def rungs(self, epochs: int) -> list[int]:
        """The epochs after which trials are compared."""
        if self.name == "none":
            return []
        count = int(math.log(epochs / self.grace_epochs) / math.log(self.reduction_factor) + 1e-9) + 1
        rungs = [int(self.grace_epochs * self.reduction_factor**k) for k in range(count)]
        return [rung for rung in rungs if rung < epochs]


def make_scheduler(options: Mapping[str, Any], name: str | None, epochs: int) -> Scheduler:
    """The scheduler of a space, or the one that the command line names.

    Raises:
        InputError: an unknown name or option, or one that does not fit the epochs.
    """
    given = dict(options)
    chosen = name or str(given.get("name", "asha"))
    given.pop("name", None)
    if chosen not in SCHEDULERS:
        raise InputError(f"scheduler: unknown '{chosen}'; {nearest(chosen, SCHEDULERS)}")
    if chosen == "none":
        return Scheduler("none")
    for key in given:
        if key not in ("grace_epochs", "reduction_factor"):
            raise InputError(f"scheduler: unknown option '{key}'; valid: grace_epochs, reduction_factor")
    scheduler = Scheduler(chosen, **given)
    if not isinstance(scheduler.grace_epochs, int) or scheduler.grace_epochs < 1:
        raise InputError(f"scheduler: grace_epochs must be a whole number from 1, not {scheduler.grace_epochs}")
    if not isinstance(scheduler.reduction_factor, (int, float)) or not 2 <= scheduler.reduction_factor < math.inf:
        raise InputError(f"scheduler: reduction_factor must be at least 2, not {scheduler.reduction_factor}")
    if scheduler.grace_epochs > epochs:
        raise InputError(f"scheduler: grace_epochs {scheduler.grace_epochs} is more than train.epochs {epochs}")
    return scheduler


def slots(config: Config, nodes: Sequence[Mapping[str, float]]) -> int:
    """How many trials fit on the machines at a time; a worker fits on one machine, a trial may span several.

    Args:
        config: its scaling section says what a trial needs.
        nodes: `CPU` and `GPU` of each machine.

    Raises:
        InputError: not even one trial fits; the arithmetic is shown.
    """
    scaling = config.scaling
    cpus, gpus, workers = scaling.cpus_per_worker, scaling.gpus_per_worker or 0, scaling.workers_per_trial
    fit = 0
    for node in nodes:
        by_cpu = node.get("CPU", 0) / cpus
        by_gpu = node.get("GPU", 0) / gpus if gpus else math.inf
        fit += int(min(by_cpu, by_gpu) + 1e-6)
    if fit < workers:
        need = f"{_count_of(workers, 'worker')} of {cpus:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
        have = "; ".join(f"{n.get('CPU', 0):g} CPU, {n.get('GPU', 0):g} GPU" for n in nodes)
        raise InputError(
            f"scaling: a trial needs {need}, and room for {fit} is there ({have}); "
            "lower scaling.workers_per_trial, scaling.cpus_per_worker or scaling.gpus_per_worker"
        )
    return fit // workers


def resolve_gpus(config: Config, nodes: Sequence[Mapping[str, float]]) -> Config:
    """Give a worker one GPU where there are any and the config leaves it open."""
    if config.scaling.gpus_per_worker is not None:
        return config
    gpus = 1.0 if any(node.get("GPU") for node in nodes) else 0.0
    return replace(config, scaling=replace(config.scaling, gpus_per_worker=gpus))


def describe(space: Space, config: Config, scheduler: Scheduler, options: Options, *, trials: int, running: int) -> str:
    """The plan in words."""
    epochs, scaling = config.train.epochs, config.scaling
    width = max(len(parameter.key) for parameter in space.parameters)
    lines = [f"space      {space.name}: {len(space.parameters)} searched, {space.mode} {space.metric}"]
    lines += [f"             {parameter.key:<{width}}  {parameter}" for parameter in space.parameters]
    lines += [f"start      {_count_of(len(space.start), 'point')} given, tried first"] if space.start else []
    rungs = scheduler.rungs(epochs)
    stops = f"; {scheduler.name} rungs at epochs {', '.join(map(str, rungs))}" if rungs else ""
    limit = f" or {options.time_budget:g} s" if options.time_budget else ""
    lines += [
        f"data       {config.data.format}, {config.data.image_size} px",
        f"budget     {trials} trials{limit} by {options.sampler}, at most {epochs} epochs each{stops}",
        f"           between {_least_epochs(trials, epochs, rungs, scheduler.reduction_factor)} "
        f"and {trials * epochs} epochs in all",
    ]
    gpu = f" and {scaling.gpus_per_worker:g} GPU" if scaling.gpus_per_worker else ""
    lines += [
        f"workers    {scaling.workers_per_trial} a trial, {scaling.cpus_per_worker:g} CPU{gpu} each",
        f"at a time  {_count_of(running, 'trial')}",
    ]
    return "\n".join(lines)


def disk_use(space: Space, config: Config, trials: int) -> str:
    """Bytes that the search will need, in words: a checkpoint a trial, and the decoded images."""
    images, classes = _count(config)
    checkpoint = checkpoint_bytes(space, config, classes)
    text = f"disk       checkpoints up to {_size(checkpoint)} a trial, {_size(checkpoint * trials)} in all"
    if config.data.cache == "none":
        return text
    pixels = images * 3 * config.data.image_size**2
    return f"{text}\n           decoded images {_size(pixels)} in {config.data.cache}"


def checkpoint_bytes(space: Space, config: Config, classes: int) -> int:
    """Size of a checkpoint with its optimiser's state, for the largest network of a search."""
    import torch

    from decouplenet.model import build_model

    searched = {parameter.key.removeprefix("model."): parameter.values for parameter in space.parameters}
    size = 0
    for backbone in searched.get("backbone", [config.model.backbone]):
        largest = replace(config.model, backbone=backbone, pretrained=False)
        # What makes a head larger: more maps, a transposed convolution, both attention layers.
        maps = max([config.model.maps_per_class, *searched.get("maps_per_class", [])])
        largest = replace(largest, maps_per_class=maps)
        if "upsampling" in searched:
            largest = replace(largest, upsampling="transposed")
        if "attention" in searched:
            largest = replace(largest, attention="joint")
        if "head" in searched:
            largest = replace(largest, head="decouplenet")
        with torch.device("meta"):  # shapes without memory
            size = max(size, sum(p.numel() for p in build_model(largest, classes).parameters()))
    return 4 * size * (3 if config.optim.name == "adamw" else 2)


def _count(config: Config) -> tuple[int, int]:
    """Number of images and of classes; nothing is drawn or decoded for it."""
    if config.data.format == "synthetic":
        from decouplenet.data.synthetic import CLASS_NAMES

        return config.data.synthetic_images, len(CLASS_NAMES)
    from decouplenet.data.image_set import load_image_sets

    train, val = load_image_sets(config.data)
    return len(train) + len(val), len(train.class_names)


def _least_epochs(trials: int, epochs: int, rungs: list[int], factor: float) -> int:
    """Epochs if each rung let through only its share."""
    total, going, before = 0.0, float(trials), 0
    for rung in [*rungs, epochs]:
        total += max(going, 1) * (rung - before)
        going, before = going / factor, rung
    return round(total)


def _count_of(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def local_nodes() -> list[dict[str, float]]:
    """This machine alone, as `slots` takes machines."""
    import torch

    return [{"CPU": float(len(os.sched_getaffinity(0))), "GPU": float(torch.cuda.device_count())}]
