"""How much faster is a training whose process keeps its memory (`decouplenet.allocator`)? Needs no Ray.

    python -m benchmarks.allocator --model.backbone mobilenet_v2 --data.image_size 224 --train.batch_size 32

New processes with one thread train a few steps on random images on the CPU, in turn with glibc's defaults and with the
settings of a gang's workers, so a loaded machine slows both.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from decouplenet.allocator import KEEP_MEMORY
from decouplenet.command_line import CommandParser, flag, parse_config, run
from decouplenet.config import Config

DEFAULTS = {"model.backbone": "mobilenet_v2", "model.pretrained": False, "optim.name": "adamw"}
KINDS: dict[str, Mapping[str, str]] = {"glibc's defaults": {}, "memory is kept": KEEP_MEMORY}


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's own flags."""

    rounds: int = flag(3, minimum=1)
    """Processes of each kind."""
    steps: int = flag(4, minimum=1)
    """Steps of an epoch. A process trains one epoch to warm up, and the second is timed."""
    classes: int = flag(80, minimum=1)
    """Number of classes."""


def train(config: Config, classes: int, steps: int) -> tuple[float, int]:
    """Seconds per step, and the bytes of memory that this process had at most."""
    import resource

    import torch

    from decouplenet.engine import Engine
    from decouplenet.step_time import random_data

    torch.set_num_threads(1)
    engine = Engine(config, random_data(config, classes, steps * config.train.batch_size))
    engine.train_epoch()
    began = time.perf_counter()
    engine.train_epoch()
    seconds = (time.perf_counter() - began) / steps
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_new_process(variables: Mapping[str, str], config: Config, classes: int, steps: int) -> tuple[float, int]:
    """`train` in a process that starts with these environment variables."""
    own = {name: os.environ.pop(name) for name in KEEP_MEMORY if name in os.environ}
    os.environ.update(variables)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(train, config, classes, steps).result()
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(own)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; prints a table and one line of JSON."""
    line = CommandParser("python -m benchmarks.allocator", "Steps with and without kept memory.", Flags).given(
        arguments
    )
    flags, config = line.flags, parse_config(DEFAULTS | line.keys)
    measured: dict[str, list[tuple[float, int]]] = {kind: [] for kind in KINDS}
    for _ in range(flags.rounds):
        for kind, variables in KINDS.items():
            measured[kind].append(in_new_process(variables, config, flags.classes, flags.steps))
    seconds = {kind: [each[0] for each in values] for kind, values in measured.items()}
    for kind, values in measured.items():
        memory = max(each[1] for each in values) / 2**30
        print(f"{kind:<18}{statistics.median(seconds[kind]):9.3f} s per step, at most {memory:.2f} GiB of memory")
    default, kept = seconds.values()
    ratio = statistics.median(slow / fast for slow, fast in zip(default, kept, strict=True))
    print(f"ratio             {ratio:9.2f} (median of {flags.rounds} pairs)")
    result = {"ratio": ratio, "seconds": seconds, "backbone": config.model.backbone}
    print(json.dumps(result | {"image_size": config.data.image_size, "batch_size": config.train.batch_size}))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
