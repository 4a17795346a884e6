"""The plan of a search in words, before anything starts: budget, rungs, concurrency, bytes on disk."""

from __future__ import annotations

from dataclasses import replace

from decouple_search.machines.capacity import count_of
from decouple_search.options import SearchRequest
from decouple_search.space.space import Space
from decouple_search.stopping.scheduler import Scheduler
from decouplenet.config import Config


def describe(request: SearchRequest, config: Config, slots: int) -> str:
    """The plan in words.

    Args:
        request: the search.
        config: the base configuration, with its GPUs resolved.
        slots: trials that run at the same time.
    """
    space, options, scheduler = request.space, request.options, request.scheduler
    epochs, scaling = config.train.epochs, config.scaling
    width = max(len(key) for key in space.keys)
    lines = [f"space      {space.name}: {len(space.keys)} searched, {', '.join(map(str, space.objectives))}"]
    lines += [f"             {parameter.key:<{width}}  {parameter}" for parameter in space.parameters]
    lines += [f"start      {count_of(len(space.start), 'point')} given, tried first"] if space.start else []
    limits = [f"{options.time_budget:g} s"] if options.time_budget else []
    limits += [f"{options.epoch_budget} epochs"] if options.epoch_budget else []
    limits += [f"{options.patience} without a better one"] if options.patience else []
    budget = " or ".join([f"{request.trials} trials", *limits])
    gpu = f" and {scaling.gpus_per_worker:g} GPU" if scaling.gpus_per_worker else ""
    lines += [
        f"data       {config.data.format}, {config.data.image_size} px",
        f"budget     {budget} by {request.sampler}, at most {epochs} epochs each{scheduler.describe(epochs)}",
        "           between {} and {} epochs in all".format(*epochs_in_all(config, scheduler, request.trials)),
        f"workers    {scaling.workers_per_trial} per trial, {scaling.cpus_per_worker:g} CPU{gpu} each",
        f"at a time  {count_of(slots, 'trial')}",
    ]
    return "\n".join(lines)


def epochs_in_all(config: Config, scheduler: Scheduler, trials: int) -> tuple[int, int]:
    """The minimum and the maximum of epochs over all trials; the minimum if each rung lets through only its share."""
    total, running, before, epochs = 0.0, float(trials), 0, config.train.epochs
    for rung in [*scheduler.rungs(epochs), epochs]:
        total += max(running, 1) * (rung - before)
        running, before = running / scheduler.reduction_factor, rung
    return round(total), trials * epochs


def disk_use(request: SearchRequest, config: Config, slots: int) -> str:
    """The bytes that a search needs, in words: the checkpoints that exist at any time, and the decoded images.

    Args:
        request: the search.
        config: the base configuration.
        slots: trials that run at the same time.
    """
    images, classes = _count(config)
    checkpoint, scheduler = checkpoint_bytes(request.space, config, classes), request.scheduler
    # The kept ones, those of each started trial while its next one is written, and the exported best one.
    started = request.trials if scheduler.name == "pbt" else slots
    count = min(request.keep_checkpoints, request.trials) + started * (scheduler.checkpoints_at_a_time + 1) + 1
    text = f"disk       checkpoints up to {_size(checkpoint)} each, {_size(checkpoint * count)} at any time"
    if config.data.cache == "none":
        return text
    pixels = images * 3 * config.data.image_size**2
    return f"{text}\n           decoded images {_size(pixels)} in {config.data.cache}"


def checkpoint_bytes(space: Space, config: Config, classes: int) -> int:
    """The size of a checkpoint with its optimiser's state, for the largest network of a search."""
    import torch

    from decouplenet.model import build_model

    searched = {parameter.key.removeprefix("model."): parameter.values for parameter in space.parameters}
    size = 0
    for backbone in searched.get("backbone", [config.model.backbone]):
        # More maps, a transposed convolution and both attention layers make a head larger.
        largest = replace(config.model, backbone=backbone, pretrained=False)
        maps = max([config.model.maps_per_class, *searched.get("maps_per_class", [])])
        largest = replace(largest, maps_per_class=maps)
        if "upsampling" in searched:
            largest = replace(largest, upsampling="transposed")
        if "attention" in searched:
            largest = replace(largest, attention="joint")
        if "head" in searched:
            largest = replace(largest, head="decouplenet")
        with torch.device("meta"):  # shapes without memory
            size = max(size, sum(weight.numel() for weight in build_model(largest, classes).parameters()))
    copies = (3 if config.optim.name == "adamw" else 2) + (config.train.ema_decay > 0)
    return 4 * size * copies


def _count(config: Config) -> tuple[int, int]:
    """The numbers of images and of classes. Nothing is drawn or decoded."""
    if config.data.format == "synthetic":
        from decouplenet.data.synthetic import CLASS_NAMES

        return config.data.synthetic_images, len(CLASS_NAMES)
    from decouplenet.data.formats import load_image_sets

    train, val = load_image_sets(config.data)
    return len(train) + len(val), len(train.class_names)


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
