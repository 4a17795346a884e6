"""What a search will do, worked out before anything starts: rungs, concurrency, bytes on disk."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from decouple_search.machines.manifest import Cluster
from decouple_search.ray_tune.schedulers import Scheduler
from decouple_search.space.space import Space
from decouplenet.config import Config
from decouplenet.errors import InputError


@dataclass(frozen=True)
class Options:
    """What the command's own flags say."""

    space: str
    """File of the search space."""
    trials: int | None
    """Trials in all; None for the space's own number."""
    time_budget: float | None
    """Seconds after which no trial goes on."""
    epoch_budget: int | None
    """Epochs over all trials after which none goes on."""
    patience: int | None
    """Trials in a row without a better one after which none goes on."""
    resume: str
    """Whether to go on with a folder of that name: auto, must or never."""
    warm_start: str | None
    """Another experiment, whose trials are taken over."""
    optuna_storage: str | None
    """URL of a database for the study."""
    storage: str
    """Folder that experiments are kept in."""
    name: str | None
    """The experiment's folder in it."""
    max_concurrent: int | None
    """Trials at a time; None for all that fit."""
    sampler: str | None
    """How configurations are chosen; None for what suits the scheduler and the objectives."""
    scheduler: str | None
    """Name of the scheduler; None for the space's own."""
    seed: int
    """Seed of the sampler."""
    max_failures: int
    """Times a trial is started again after a lost or hung worker."""
    keep_checkpoints: int
    """Ended trials whose best checkpoint stays on disk."""
    retrain_best: bool
    """Whether the winner is then trained in full."""
    dry_run: bool
    """Whether only the plan is wanted."""
    cluster: str | None
    """File of the cluster, for the machines that its autoscaler may add."""
    epoch_seconds: float | None
    """That an epoch of a trial takes, for the plan."""
    prices: str | None
    """Of a machine of each type an hour, for the plan."""


def slots(config: Config, nodes: Sequence[Mapping[str, float]]) -> int:
    """How many trials fit on the machines at a time; a worker fits on one machine, a trial may span several.

    Args:
        config: its scaling section says what a trial needs.
        nodes: `CPU` and `GPU` of each machine.

    Raises:
        InputError: not even one trial fits; the arithmetic is shown.
    """
    trials, scaling, room = fitting(config, nodes), config.scaling, [fit(node, config) for node in nodes]
    if not trials:
        rule = {"STRICT_PACK": " all on one machine", "STRICT_SPREAD": " each on another machine"}
        gpus = f" and {scaling.gpus_per_worker:g} GPU" if scaling.gpus_per_worker else ""
        need = f"{_count_of(scaling.workers_per_trial, 'worker')} of {scaling.cpus_per_worker:g} CPU{gpus}"
        kinds = Counter((node.get("CPU", 0), node.get("GPU", 0), fits) for node, fits in zip(nodes, room, strict=True))
        have = "; ".join(
            f"{f'{count} × ' if count > 1 else ''}{cpu:g} CPU, {gpu:g} GPU: {fits}"
            for (cpu, gpu, fits), count in kinds.items()
        )
        raise InputError(
            f"scaling: a trial needs {need}{rule.get(scaling.placement_strategy, '')}, and room for {sum(room)} is "
            f"there ({have}); "
            "lower scaling.workers_per_trial, scaling.cpus_per_worker or scaling.gpus_per_worker"
        )
    return trials


def fitting(config: Config, nodes: Sequence[Mapping[str, float]]) -> int:
    """As `slots`, but 0 where no trial fits."""
    room, workers = [fit(node, config) for node in nodes], config.scaling.workers_per_trial
    if config.scaling.placement_strategy == "STRICT_PACK":
        return sum(fits // workers for fits in room)
    return _spread(room, workers) if config.scaling.placement_strategy == "STRICT_SPREAD" else sum(room) // workers


def fit(node: Mapping[str, float], config: Config) -> int:
    """How many of a trial's workers fit on a machine."""
    return _workers_on(node, config.scaling.cpus_per_worker, config.scaling.gpus_per_worker or 0)


def _workers_on(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Workers that fit on a machine; a share of a GPU is of one and the same."""
    by_cpu = int(node.get("CPU", 0) / cpus + 1e-6)
    return min(by_cpu, int(node.get("GPU", 0)) * int(1 / gpus + 1e-6)) if gpus else by_cpu


def _spread(room: Sequence[int], workers: int) -> int:
    """The most trials whose workers are each on another machine: t fit if machines that take t at most take all."""
    trials = 0
    while sum(min(fit, trials + 1) for fit in room) >= (trials + 1) * workers:
        trials += 1
    return trials


def with_growth(alive: Sequence[Mapping[str, float]], cluster: Cluster, config: Config) -> list[Mapping[str, float]]:
    """The machines of a cluster once its autoscaler has added those that take the most workers.

    Args:
        alive: `CPU` and `GPU` of each machine that is there.
        cluster: what the cluster's file says.
        config: its scaling section says what a worker needs.
    """
    added = cluster.launched([fit(kind.resources, config) for kind in cluster.kinds])
    heads = [machine for machine in alive if "node:__internal_head__" in machine]
    grown = [*heads, *(kind.resources for kind in added)]
    there = sum(fit(machine, config) for machine in alive)
    return grown if sum(fit(machine, config) for machine in grown) > there else list(alive)


def potential(config: Config, cluster: Cluster) -> tuple[Config, list[Mapping[str, float]]]:
    """A config with its GPUs resolved, and all machines that a cluster of this file may have.

    Raises:
        InputError: the file leaves open what its machines have.
    """
    bare = next((kind.name for kind in cluster.kinds if not kind.resources), None)
    if bare:
        raise InputError(
            f"--cluster: the file does not say what a {bare} has; give its `resources` (CPU, GPU), or plan on it"
        )
    config = resolve_gpus(config, [kind.resources for kind in cluster.kinds])
    workers = cluster.launched([fit(kind.resources, config) for kind in cluster.kinds])
    return config, [cluster.head.resources, *(kind.resources for kind in workers)]


def resolve_gpus(config: Config, nodes: Sequence[Mapping[str, float]]) -> Config:
    """Give a worker one GPU where there are any and the config leaves it open."""
    if config.scaling.gpus_per_worker is not None:
        return config
    gpus = 1.0 if any(node.get("GPU") for node in nodes) else 0.0
    return replace(config, scaling=replace(config.scaling, gpus_per_worker=gpus))


def describe(
    space: Space, config: Config, scheduler: Scheduler, options: Options, *, sampler: str, trials: int, running: int
) -> str:
    """The plan in words."""
    epochs, scaling = config.train.epochs, config.scaling
    width = max(len(parameter.key) for parameter in space.parameters)
    goal = ", ".join(f"{mode} {metric}" for metric, mode in space.objectives)
    lines = [f"space      {space.name}: {len(space.parameters)} searched, {goal}"]
    lines += [f"             {parameter.key:<{width}}  {parameter}" for parameter in space.parameters]
    lines += [f"start      {_count_of(len(space.start), 'point')} given, tried first"] if space.start else []
    stops = scheduler.describe(epochs)
    limits = [f"{options.time_budget:g} s"] if options.time_budget else []
    limits += [f"{options.epoch_budget} epochs"] if options.epoch_budget else []
    limits += [f"{options.patience} without a better one"] if options.patience else []
    limit = "".join(f" or {one}" for one in limits)
    lines += [
        f"data       {config.data.format}, {config.data.image_size} px",
        f"budget     {trials} trials{limit} by {sampler}, at most {epochs} epochs each{stops}",
        "           between {} and {} epochs in all".format(*epochs_in_all(config, scheduler, trials)),
    ]
    gpu = f" and {scaling.gpus_per_worker:g} GPU" if scaling.gpus_per_worker else ""
    lines += [
        f"workers    {scaling.workers_per_trial} a trial, {scaling.cpus_per_worker:g} CPU{gpu} each",
        f"at a time  {_count_of(running, 'trial')}",
    ]
    return "\n".join(lines)


def disk_use(space: Space, config: Config, scheduler: Scheduler, *, keep: int, running: int, trials: int) -> str:
    """Bytes that the search will need, in words: the checkpoints that stay at any time, and the decoded images."""
    images, classes = _count(config)
    checkpoint = checkpoint_bytes(space, config, classes)
    # Those kept, those of each trial that has begun while its next is written, the exported best one.
    begun = trials if scheduler.name == "pbt" else running
    most = min(keep, trials) + begun * (scheduler.checkpoints_at_a_time + 1) + 1
    text = f"disk       checkpoints up to {_size(checkpoint)} each, {_size(checkpoint * most)} at any time"
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
    copies = (3 if config.optim.name == "adamw" else 2) + (config.train.ema_decay > 0)
    return 4 * size * copies


def _count(config: Config) -> tuple[int, int]:
    """Number of images and of classes; nothing is drawn or decoded for it."""
    if config.data.format == "synthetic":
        from decouplenet.data.synthetic import CLASS_NAMES

        return config.data.synthetic_images, len(CLASS_NAMES)
    from decouplenet.data.formats import load_image_sets

    train, val = load_image_sets(config.data)
    return len(train) + len(val), len(train.class_names)


def epochs_in_all(config: Config, scheduler: Scheduler, trials: int) -> tuple[int, int]:
    """The least epochs over all trials, if each rung let through only its share, and the most."""
    total, going, before, epochs = 0.0, float(trials), 0, config.train.epochs
    for rung in [*scheduler.rungs(epochs), epochs]:
        total += max(going, 1) * (rung - before)
        going, before = going / scheduler.reduction_factor, rung
    return round(total), trials * epochs


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
