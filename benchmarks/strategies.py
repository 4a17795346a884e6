r"""One training under every strategy, stage and precision: the same loss, and what each costs. Needs no Ray.

    python -m benchmarks.strategies
    python -m benchmarks.strategies --workers 1 --strategies ddp 1 --precisions fp32 bf16 fp16 --compile \
        --model.backbone resnet101 --data.image_size 448 --train.batch_size 64 --data.synthetic_images 4000

Each arm trains two epochs of synthetic scenes from the same seed, in new processes: the losses are those of the first
epoch, seconds and images a second those of the second, when kernels are chosen and memory is allocated. Differences
(relative) and speed are to `ddp` in fp32, which is always the first arm. Peak memory is the largest worker's: of the
process on CPUs, and of what torch allocated on GPUs. On CPUs a worker has one core, and fp16 is very slow. The
defaults take 4 minutes on 2 cores.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import queue
import resource
import sys
import warnings
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist

from decouplenet.command_line import CommandParser, parse_config, run
from decouplenet.config import Config
from decouplenet.errors import TrainingFailed

DEFAULTS = {
    "model.backbone": "resnet18",
    "model.pretrained": False,
    "data.image_size": 64,
    "data.synthetic_images": 800,
    "optim.lr": 0.002,  # small, or the first steps from random weights drive rounding errors apart
    "optim.backbone_lr_scale": 1.0,
    "train.batch_size": 32,
    "train.epochs": 2,
}


def arms(base: Config, strategies: list[str], precisions: list[str], *, compiled: bool) -> dict[str, Config]:
    """Configurations by their name in the table; the first is what the others are compared with."""
    made = {}
    for precision, strategy, compile_too in itertools.product(
        dict.fromkeys(["fp32", *precisions]), dict.fromkeys(["ddp", *strategies]), [False, True][: 1 + compiled]
    ):
        if compile_too and strategy == "3":
            continue  # refused: weights that come and go cannot be compiled
        keys: dict[str, Any] = {"precision": precision, "compile": compile_too}
        keys |= {} if strategy == "ddp" else {"strategy": "deepspeed", "zero_stage": int(strategy)}
        name = f"{strategy if strategy == 'ddp' else f'zero-{strategy}'} {precision}{' compiled' * compile_too}"
        made[name] = replace(base, train=replace(base.train, **keys))
    return made


def train(rank: int, config: Config, world: int, ports: Any, answers: Any) -> None:
    """Train as one worker, and answer with (rank, measures)."""
    from decouplenet.data.opened import open_data
    from decouplenet.engine import Engine
    from decouplenet.strategies import leave_process_group

    gpu = torch.cuda.is_available()
    device = torch.device("cuda", rank % torch.cuda.device_count()) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Grad strides do not match")  # of the group convolution; no matter of ours
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
    """What the first worker measured, with the peak memory of the largest."""
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
    return {**by_rank[0], "peak": max(each["peak"] for each in by_rank.values())}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; a row an arm, and one line of JSON."""
    parser = CommandParser("python -m benchmarks.strategies", "Every strategy, stage and precision on one training.")
    parser.add_argument("--workers", type=int, default=2, help="processes, a GPU or a CPU core each")
    parser.add_argument("--strategies", type=str, nargs="+", default=["ddp", "0", "1", "2", "3"], help="ddp, ZeRO 0-3")
    parser.add_argument("--precisions", type=str, nargs="+", default=["fp32", "bf16"], help="fp32, bf16, fp16")
    parser.add_argument("--compile", action="store_true", help="each arm with train.compile too")
    parser.add_config_keys()
    own, keys = parser.given(arguments)
    base = parse_config({**DEFAULTS, "scaling.workers_per_trial": own["workers"], **keys})

    from decouplenet.data.opened import open_data

    open_data(base.data)  # decoded before any clock runs
    chip = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{base.model.backbone} at {base.data.image_size} px, batch {base.train.batch_size}, "
          f"{own['workers']} workers, {chip}, torch {torch.__version__}")  # fmt: skip
    print(f"{'':<20}{'train loss':>12}{'differs':>9}{'val loss':>10}{'differs':>9}{'s':>8}{'images/s':>10}"
          f"{'speed':>7}{'peak GB':>9}")  # fmt: skip
    measured: dict[str, dict[str, Any]] = {}
    for name, config in arms(base, own["strategies"], own["precisions"], compiled=own["compile"]).items():
        one = measured[name] = measure(config, own["workers"])
        reference = next(iter(measured.values()))
        one["speed"] = one["images_per_second"] / reference["images_per_second"]
        losses = ""
        for key, width in (("train_loss", 12), ("val_loss", 10)):
            one[f"{key}_differs"] = abs(one[key] / reference[key] - 1)
            losses += f"{one[key]:{width}.6f}{one[f'{key}_differs']:9.1e}"
        print(
            f"{name:<20}{losses}{one['seconds']:8.2f}{one['images_per_second']:10.1f}{one['speed']:7.2f}"
            f"{one['peak'] / 1e9:9.2f}  {one['note']}",
            flush=True,
        )
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
