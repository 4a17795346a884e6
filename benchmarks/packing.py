"""Is a group of heads trained faster in one pass over the feature maps than one head after another? Needs no Ray.

    python -m benchmarks.packing --model.backbone resnet101 --data.image_size 448 --train.batch_size 64 --heads 16

Packed, each batch of feature maps is read, copied to the device and mirrored once for all heads of the group. One after
another, each head does so for itself, as screened trials do. Both train the same heads on the same random maps, in
rounds that alternate, so a loaded machine slows both.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from decouplenet.command_line import CommandParser, flag, parse_config, run
from decouplenet.config import Config
from decouplenet.data.batches import Batches
from decouplenet.data.opened import Data
from decouplenet.engine import Engine
from decouplenet.step_time import random_data

UPSAMPLINGS = ("none", "bilinear", "transposed")
MAPS = (2, 4, 8)
DEFAULTS = {"model.backbone": "mobilenet_v2", "model.pretrained": True, "optim.name": "adamw"}


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's own flags."""

    heads: int = flag(9, minimum=1)
    """Heads of a group; they differ in upsampling and in the maps per class."""
    images: int = flag(320, minimum=4)
    """Images of an epoch."""
    rounds: int = flag(5, minimum=1)
    """Epochs of each kind."""
    classes: int = flag(80, minimum=1)
    """Number of classes."""


def heads_of(config: Config, count: int) -> list[Config]:
    """Configs of heads on feature maps."""
    kinds = [{"upsampling": kind, "maps_per_class": maps} for maps in MAPS for kind in UPSAMPLINGS]
    models = [replace(config.model, **kinds[i % len(kinds)]) for i in range(count)]
    return [replace(config, model=model).for_head(1) for model in models]


def train_in_turn(engines: Sequence[Engine]) -> None:
    """An epoch of each head, one head after another."""
    for engine in engines:
        engine.train_epoch()


def train_packed(engines: Sequence[Engine], data: Data) -> None:
    """An epoch of all heads in one pass over the maps."""
    first = engines[0]
    batches = Batches(data.train, data.train_pixels, first.config.train.batch_size)
    for engine in engines:
        engine.model.train()
    inputs, losses = first._inputs, []
    for step, batch in enumerate(batches.training(first.config.train.seed, first.epoch, flip=True)):
        shared = inputs(batch)
        for engine in engines:
            engine._inputs = lambda _, shared=shared: shared
            losses.append(engine._train_step(batch, step))
    first._inputs = inputs
    torch.stack(losses).sum().item()  # waits for the device, as an epoch does


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; prints a table and one line of JSON."""
    line = CommandParser("python -m benchmarks.packing", "Heads packed and in turn.", Flags).given(arguments)
    flags = line.flags
    config = parse_config(DEFAULTS | line.keys)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    configs = heads_of(config, flags.heads)
    data = random_data(configs[0], flags.classes, flags.images)
    groups = {name: [Engine(each, data, device=device) for each in configs] for name in ("in turn", "packed")}
    seconds: dict[str, list[float]] = {name: [] for name in groups}
    for _ in range(flags.rounds + 1):  # torch selects kernels in the first round
        for name, engines in groups.items():
            began = time.perf_counter()
            train_packed(engines, data) if name == "packed" else train_in_turn(engines)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    pairs = zip(seconds["in turn"][1:], seconds["packed"][1:], strict=True)
    ratio = statistics.median(turn / packed for turn, packed in pairs)
    for name, median in medians.items():
        print(f"{name:<10}{median / flags.heads * 1000:9.1f} ms per head and epoch of {flags.images} images")
    print(f"ratio     {ratio:9.3f} (in turn / packed, median of {flags.rounds} pairs)")
    result = {"ratio": ratio, "seconds": medians, "heads": flags.heads, "images": flags.images}
    if device.type == "cuda":
        result["gpu_bytes"] = torch.cuda.max_memory_allocated()
    print(json.dumps(result | {"backbone": config.model.backbone, "image_size": config.data.image_size}))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
