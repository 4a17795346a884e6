"""The cost of a head, DecoupleNet's or another: its training step beside that of its bare backbone. Needs no Ray.

    python -m benchmarks.step --model.backbone resnet101 --data.image_size 448 --train.batch_size 64

A step is forward, backward and SGD on random images in the config's precision. The bare backbone is the same
network up to its features, and its loss is their mean. Steps of both alternate, so a loaded machine slows both.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from decouplenet.command_line import CommandParser, flag, parse_config, run
from decouplenet.config import Config
from decouplenet.heads.settings import OWN_LOSS
from decouplenet.losses import bce_loss
from decouplenet.model import build_model
from decouplenet.optim import make_optimizer
from decouplenet.precision import AUTOCAST, on_device


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's own flags."""

    rounds: int = flag(10)
    """Number of steps of each network."""
    classes: int = flag(80)
    """Number of classes."""


def make_step(config: Config, classes: int, device: torch.device, *, bare: bool) -> Callable[[], None]:
    """A function that runs one training step, of the whole network or of its bare backbone."""
    torch.manual_seed(0)
    model = build_model(config.model, classes, heads=config.head).to(device).train()
    optimizer = make_optimizer(model, config.optim)
    size, batch, dtype = config.data.image_size, config.train.batch_size, AUTOCAST[config.train.precision]
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    targets = (torch.rand(batch, classes, device=device) < 0.04).float()
    network: nn.Module = model.backbone if bare else model  # type: ignore[assignment]
    own_loss = config.model.head in OWN_LOSS and not bare

    def step() -> None:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            out = network(images, targets) if own_loss else network(images)
        if own_loss:
            loss = out.float() / targets.numel()
        else:
            loss = out.float().mean() if bare else bce_loss(out.float(), targets) / targets.numel()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; prints a table and one line of JSON."""
    description = "DecoupleNet's training step and its bare backbone's."
    line = CommandParser("python -m benchmarks.step", description, Flags).given(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = on_device(parse_config({"model.pretrained": False, **line.keys}), device)
    classes = line.flags.classes
    steps = {name: make_step(config, classes, device, bare=name == "backbone") for name in ("backbone", "whole")}
    for step in steps.values():
        step()  # the first step selects kernels and allocates memory
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(line.flags.rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = statistics.median(w / b for w, b in zip(seconds["whole"], seconds["backbone"], strict=True))
    batch = config.train.batch_size
    for name, median in medians.items():
        print(f"{name:<10}{median * 1000:9.1f} ms per step  {batch / median:9.1f} images per second")
    print(f"ratio     {ratio:9.3f} (whole / backbone, median of {line.flags.rounds} pairs)")
    result = {"ratio": ratio, "seconds": medians, "batch_size": batch, "image_size": config.data.image_size}
    print(json.dumps(result | {"backbone": config.model.backbone, "precision": config.train.precision}))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
