r"""Compare loss, speed and memory of one training with every strategy, stage and precision. Needs no Ray.

    python -m benchmarks.strategies
    python -m benchmarks.strategies --workers 1 --strategies ddp 1 --precisions fp32 bf16 fp16 --compile \
        --model.backbone resnet101 --data.image_size 448 --train.batch_size 64 --data.synthetic_images 4000

Each arm trains two epochs of synthetic scenes from the same seed, in new processes. The losses are from the first
epoch. Seconds and images per second are from the second epoch, when kernel selection and memory allocation are done.
Relative differences and speed compare with `ddp` in fp32, which is always the first arm. Peak memory is that of the
largest worker: of the process on CPUs, and of torch's allocations on GPUs. On CPUs each worker has one core, and fp16
is very slow. The defaults take 4 minutes on 2 cores.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import queue
import resource
import sys
import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist

from decouplenet.command_line import CommandParser, flag, parse_config, run
from decouplenet.config import Config
from decouplenet.errors import TrainingFailed

DEFAULTS = {
    "model.backbone": "resnet18",
    "model.pretrained": False,
    "data.image_size": 64,
    "data.synthetic_images": 800,
    "optim.lr": 0.002,  # small: large first steps from random weights amplify rounding errors
    "optim.backbone_lr_scale": 1.0,
    "train.batch_size": 32,
    "train.epochs": 2,
}


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's own flags."""

    workers: int = flag(2)
    """Number of processes, each with one GPU or CPU core."""
    strategies: list[str] = flag(["ddp", "0", "1", "2", "3"])
    """ddp, or ZeRO's stages 0 to 3; default: all."""
    precisions: list[str] = flag(["fp32", "bf16"])
    """fp32, bf16, fp16; default: fp32 and bf16."""
    compile: bool = flag(False)
    """Run each arm also with train.compile."""


def arms(base: Config, strategies: list[str], precisions: list[str], *, compiled: bool) -> dict[str, Config]:
    """Configurations by their name in the table; the others are compared with the first."""
    made = {}
    for precision, strategy, compile_too in itertools.product(
        dict.fromkeys(["fp32", *precisions]), dict.fromkeys(["ddp", *strategies]), [False, True][: 1 + compiled]
    ):
        if compile_too and strategy == "3":
            continue  # refused: ZeRO 3 gathers and frees weights, which cannot be compiled
        keys: dict[str, Any] = {"precision": precision, "compile": compile_too}
        keys |= {} if strategy == "ddp" else {"strategy": "deepspeed", "zero_stage": int(strategy)}
        name = f"{strategy if strategy == 'ddp' else f'zero-{strategy}'} {precision}{' compiled' * compile_too}"
        made[name] = replace(base, train=replace(base.train, **keys))
    return made


def train(rank: int, config: Config, world: int, ports: Any, answers: Any) -> None:
    """Train as one worker; puts (rank, measures) on the queue `answers`."""
    from decouplenet.data.opened import open_data
    from decouplenet.engine import Engine
    from decouplenet.strategies import leave_process_group

    gpu = torch.cuda.is_available()
    device = torch.device("cuda", rank % torch.cuda.device_count()) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Grad strides do not match")  # from the group convolution; harmless
    store = dist.TCPStore(
        "127.0.0.1", 0 if rank == 0 else ports.get(), world, is_master=rank == 0, wait_for_workers=False
    )
    for _ in range(world - 1 if rank == 0 else 0):
        ports.put(store.port)
    dist.init_process_group("nccl" if gpu else "gloo", store=store, rank=rank, world_size=world)
    engine = Engine(config, open_data(config.data), device=device, rank=rank, world=world)
    first = engine.train_epoch() | engine.evaluate()
    second = engine.train_epoch()
    peak = torch.cuda.max_memory_allocated() if gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    measured = {key: first[key] for key in ("train_loss", "val_loss")}
    measured |= {"seconds": second["train_seconds"], "images_per_second": second["images_per_second"], "peak": peak}
    answers.put((rank, measured | {"note": engine.note}))
    dist.barrier()
    engine.close()
    leave_process_group()


def measure(config: Config, world: int) -> dict[str, Any]:
    """The measures of the first worker, with the peak memory of the largest worker."""
    spawn = multiprocessing.get_context("spawn")
    ports, answers = spawn.Queue(), spawn.Queue()
    processes = [spawn.Process(target=train, args=(rank, config, world, ports, answers)) for rank in range(world)]
    for process in processes:
        process.start()
    by_rank: dict[int, dict[str, Any]] = {}
    try:
        while len(by_rank) < world:
            try:
                by_rank |= [answers.get(timeout=5)]
            except queue.Empty:
                if any(process.exitcode for process in processes):
                    raise TrainingFailed("a worker failed; its error is above") from None
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.kill()
    return {**by_rank[0], "peak": max(result["peak"] for result in by_rank.values())}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; prints one row per arm and one line of JSON."""
    description = "One training with every strategy, stage and precision."
    line = CommandParser("python -m benchmarks.strategies", description, Flags).given(arguments)
    flags = line.flags
    base = parse_config({**DEFAULTS, "scaling.workers_per_trial": flags.workers, **line.keys})

    from decouplenet.data.opened import open_data

    open_data(base.data)  # decode before any timing starts
    chip = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{base.model.backbone} at {base.data.image_size} px, batch {base.train.batch_size}, "
          f"{flags.workers} workers, {chip}, torch {torch.__version__}")  # fmt: skip
    print(f"{'':<20}{'train loss':>12}{'differs':>9}{'val loss':>10}{'differs':>9}{'s':>8}{'images/s':>10}"
          f"{'speed':>7}{'peak GB':>9}")  # fmt: skip
    measured: dict[str, dict[str, Any]] = {}
    for name, config in arms(base, flags.strategies, flags.precisions, compiled=flags.compile).items():
        result = measured[name] = measure(config, flags.workers)
        reference = next(iter(measured.values()))
        result["speed"] = result["images_per_second"] / reference["images_per_second"]
        losses = ""
        for key, width in (("train_loss", 12), ("val_loss", 10)):
            result[f"{key}_differs"] = abs(result[key] / reference[key] - 1)
            losses += f"{result[key]:{width}.6f}{result[f'{key}_differs']:9.1e}"
        print(
            f"{name:<20}{losses}{result['seconds']:8.2f}{result['images_per_second']:10.1f}{result['speed']:7.2f}"
            f"{result['peak'] / 1e9:9.2f}  {result['note']}",
            flush=True,
        )
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
