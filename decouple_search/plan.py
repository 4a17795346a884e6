"""The plan of a search in words, before anything starts: budget, rungs, concurrency, bytes on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from decouple_search.machines.timing import DataSize, ScreenSeconds
from decouple_search.options import SearchRequest
from decouple_search.space.space import Space
from decouple_search.stopping.scheduler import PAUSED
from decouplenet.config import Config
from decouplenet.dotted_keys import flatten, nest
from decouplenet.wording import counted

ASSUMED_CLASSES = 80
"""The number of classes, COCO's, that the size of a checkpoint is computed for where the number is not known."""


def describe(
    request: SearchRequest, config: Config, slots: int, screening: ScreenSeconds | str = "they are not timed"
) -> str:
    """The plan in words.

    Args:
        request: the search.
        config: the base configuration, with its GPUs resolved.
        slots: trials that run at the same time; 0 where none fits.
        screening: the seconds that screening takes, or why they are not known, as a clause.
    """
    space, options, scheduler = request.space, request.options, request.scheduler
    epochs, scaling = config.train.epochs, config.scaling
    width = max(len(key) for key in space.keys)
    lines = [f"space      {space.name}: {len(space.keys)} searched, {', '.join(map(str, space.objectives))}"]
    lines += [f"             {parameter.key:<{width}}  {parameter}" for parameter in space.parameters]
    tried = "screened first" if request.screen else "tried first"
    lines += [f"start      {counted(len(space.start), 'point')} given, {tried}"] if space.start else []
    limits = [f"{options.time_budget:g} s"] if options.time_budget else []
    limits += [f"{options.epoch_budget} epochs"] if options.epoch_budget else []
    limits += [f"{options.patience} without a better one"] if options.patience else []
    budget = " or ".join([counted(request.trials, "trial"), *limits])
    low, high = scheduler.epochs_in_all(request.trials, epochs)
    sizes = image_sizes(space, config)
    size = f"{min(sizes)} to {max(sizes)}" if len(set(sizes)) > 1 else f"{sizes[0]}"
    gpu = f" and {scaling.gpus_per_worker:g} GPU" if scaling.gpus_per_worker else ""
    lines += [
        f"data       {config.data.format}, {size} px",
        f"budget     {budget} by {request.sampler}, at most {counted(epochs, 'epoch')} each"
        + scheduler.describe(epochs),
        f"           {f'between {low} and ' if low < high else ''}{counted(high, 'epoch')} in all",
        *_screen(request, config, slots, screening),
        *_finalists(request, config),
        f"workers    {scaling.workers_per_trial} per trial, {scaling.cpus_per_worker:g} CPU{gpu} each",
        f"at a time  {counted(slots, 'trial')}",
    ]
    return "\n".join(lines)


def epochs_with_finalists(request: SearchRequest, config: Config) -> tuple[int, int]:
    """The minimum and the maximum of epochs over all trials, with the trainings of the finalists."""
    low, high = request.scheduler.epochs_in_all(request.trials, config.train.epochs)
    more = request.finalists.trainings * config.train.epochs if request.finalists else 0
    return low + more, high + more


def _screen(request: SearchRequest, config: Config, slots: int, seconds: ScreenSeconds | str) -> list[str]:
    if request.unscreened:
        return [f"screen     off: {request.unscreened}"]
    plan, heads = request.screen, request.space.heads
    if plan is None or heads is None:
        return []
    many = counted(plan.count, "head") if plan.count else f"at most {plan.most} heads, while they are worth it (auto),"
    lines = [f"screen     {many} for {counted(plan.epochs, 'epoch')} each, on feature maps of {config.model.backbone}"]
    others = [key for key in request.space.keys if key not in heads.keys]
    lines += [f"           only full trials can judge {', '.join(others)}"] if others else []
    if epochs := config.train.head_epochs:
        lines.append(f"           a full trial trains its head first in the same way, for {counted(epochs, 'epoch')}")
    if isinstance(seconds, str):
        return [*lines, f"           its seconds are not known, as {seconds}"]
    low, high = (f"{each:.2g}" if each < 10 else f"{each:.0f}" for each in seconds.heads)
    each = low if low == high else f"{low} to {high}"
    total = seconds.maps + plan.most * sum(seconds.heads) / 2 / max(1, slots)
    return [
        *lines,
        f"           about {seconds.maps:.0f} s for the maps, {each} s per head, {seconds.full:.0f} s per full trial",
        f"           about {total:.0f} s for {counted(plan.most, 'head')}, {max(1, slots)} at a time; timed on noise",
    ]


def timed_heads(request: SearchRequest, config: Config) -> list[Config]:
    """The heads whose seconds the plan gives: each searched head, and DecoupleNet's with each upsampling.

    The upsampling decides most of its cost.

    Raises:
        InputError: the configuration cannot be trained on feature maps.
    """
    epochs = request.screen.epochs if request.screen else 1
    kinds = dict.fromkeys(_values(request.space, "model.upsampling", config.model.upsampling))
    models = [
        replace(config.model, head=head, upsampling=kind)
        for head in dict.fromkeys(_values(request.space, "model.head", config.model.head))
        for kind in (kinds if head == "decouplenet" else [config.model.upsampling])
    ]
    return [replace(config, model=model).for_head(epochs) for model in models]


def _finalists(request: SearchRequest, config: Config) -> list[str]:
    plan = request.finalists
    if plan is None:
        return []
    size = f"the best {plan.count}" if plan.count > 1 else "the best"
    epochs = counted(plan.trainings * config.train.epochs, "epoch")
    return [f"finalists  {size} anew with {counted(plan.seeds, 'fresh seed')} each: {epochs} more"]


def disk_use(request: SearchRequest, config: Config, slots: int, data: DataSize | str) -> str:
    """The bytes that a search needs, in words: the checkpoints that exist at any time, decoded images, feature maps.

    Args:
        request: the search.
        config: the base configuration.
        slots: trials that run at the same time; 0 where none fits.
        data: the size of the data, or why it is not known, as a clause.

    Raises:
        InputError: a network cannot be built.
    """
    classes = ASSUMED_CLASSES if isinstance(data, str) else data.classes
    checkpoint = checkpoint_bytes(request.space, config, classes)
    scheduler = request.scheduler
    # The kept ones, those of each started trial while its next one is written, and the exported best one.
    started = request.trials if scheduler.name == "pbt" else max(slots, 1)
    if scheduler.name == "promotion":
        started += min(PAUSED, request.trials)
    count = min(request.keep_checkpoints, request.trials) + started * (scheduler.checkpoints_at_a_time + 1) + 1
    count += request.finalists.count if request.finalists else 0  # the best of each
    text = f"disk       checkpoints up to {_size(checkpoint)} each, {_size(checkpoint * count)} at any time"
    if isinstance(data, str):
        text += f" (for {ASSUMED_CLASSES} classes, as their number is not known)"
    if config.data.cache == "none":
        return text
    if isinstance(data, str):
        return f"{text}\n           decoded images not known, as {data}"
    # The cache has a file per size. A search of n trials uses at most n sizes.
    sizes = sorted(image_sizes(request.space, config), reverse=True)[: request.trials]
    pixels = sum(data.images * 3 * size**2 for size in sizes)
    text += f"\n           decoded images {_size(pixels)} in {config.data.cache}"
    if config.train.freeze_backbone or request.screen:
        sizes = sizes if config.train.freeze_backbone else [config.data.image_size]
        maps = maps_of_image(request.space, config, sizes)
        share = with_map_share(request, config, data.images, maps).train.map_share
        used = f", of {share * data.images:.0f} images" if share < 1 else ""
        text += f"\n           feature maps {_size(data.images * share * maps)} in {config.data.cache}{used}"
    return text


def with_map_share(request: SearchRequest, config: Config, images: int, map_bytes: int) -> Config:
    """The config with the share of the images whose feature maps heads are screened on (`train.map_share`).

    Args:
        request: the search.
        config: the base configuration.
        images: the number of training and validation images.
        map_bytes: the bytes of the feature maps of an image.
    """
    if request.screen is None or "train.map_share" in request.space.base:
        return config
    return replace(config, train=replace(config.train, map_share=request.screen.share(images, map_bytes)))


def maps_of_image(space: Space, config: Config, sizes: Sequence[int]) -> int:
    """The bytes of the feature maps of an image, over all backbones and sizes that a search may use.

    Raises:
        InputError: a backbone cannot be built.
    """
    from decouplenet.frozen import map_bytes

    return sum(map_bytes(name, size) for name, size in product(backbone_names(space, config), sizes))


def backbone_names(space: Space, config: Config) -> tuple[str, ...]:
    """The backbones that a search may use."""
    return _values(space, "model.backbone", config.model.backbone)


def checkpoint_bytes(space: Space, config: Config, classes: int) -> int:
    """The size of a checkpoint with its optimiser's state, for the largest network of a search.

    Raises:
        InputError: a network cannot be built.
    """
    import torch

    from decouplenet.model import build_model

    model = config.model
    # More maps, a transposed convolution and both attention layers make a head larger.
    largest = replace(
        model,
        maps_per_class=max(_values(space, "model.maps_per_class", model.maps_per_class)),
        upsampling="transposed" if "model.upsampling" in space.keys else model.upsampling,
        attention="joint" if "model.attention" in space.keys else model.attention,
        pretrained=False,
    )
    flat = flatten(config.to_dict())
    widest = {key: max(_values(space, key, flat[key])) for key in space.keys if key.startswith("head.")}
    heads = Config.from_dict(nest(flat | widest)).head
    backbones = backbone_names(space, config)
    size = 0
    for backbone, head in product(backbones, _values(space, "model.head", model.head)):
        with torch.device("meta"):  # shapes without memory
            network = build_model(replace(largest, backbone=backbone, head=head), classes, None, heads)
        size = max(size, sum(weight.numel() for weight in network.parameters()))
    copies = 3 if "adamw" in _values(space, "optim.name", config.optim.name) else 2
    if max(_values(space, "train.ema_decay", config.train.ema_decay)) > 0:
        copies += 1
    return 4 * size * copies


def image_sizes(space: Space, config: Config) -> tuple[int, ...]:
    """The sizes of images that a search may train on, in pixels."""
    return _values(space, "data.image_size", config.data.image_size)


def _values(space: Space, key: str, base: Any) -> tuple[Any, ...]:
    """The values that a key may have in a search. The ends stand for a range without steps.

    Args:
        space: the searched space.
        key: the key, dotted.
        base: its value where it is not searched.
    """
    parameter = space.parameter(key)
    if parameter is None:
        return (base,)
    return (*(parameter.steps() or parameter.values), *((base,) if parameter.when else ()))


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
