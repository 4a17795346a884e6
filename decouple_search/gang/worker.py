"""A gang's worker: the process that holds the opened data and the engine, and trains an epoch a call.

Only `gang.py` makes and calls it. Whatever fails in a worker makes it leave the process group, so that the others
do not wait for it in a collective for ever.
"""

from __future__ import annotations

import datetime
import functools
import gc
import os
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import ray

# What a worker hands out of a checkpoint, file name to content; it may be on another machine than its caller.
Files = dict[str, bytes]

_Method = TypeVar("_Method", bound=Callable[..., Any])


class Seat(NamedTuple):
    """Where a worker is."""

    node: str
    """Its machine's address, by which the others reach it."""
    pid: int
    """Its process there."""
    gpus: tuple[str, ...]
    """Ids of the GPUs that Ray gave it."""


def shared_devices(seats: Sequence[Seat]) -> list[tuple[str, int]]:
    """Each worker's CUDA_VISIBLE_DEVICES, and the number of its own GPU among them.

    NCCL copies straight from GPU to GPU only where a process sees both, so a worker sees the GPUs of all workers
    of its gang on its machine.
    """
    shared = []
    for seat in seats:
        seen = dict.fromkeys(gpu for other in seats if other.node == seat.node for gpu in other.gpus)
        shared.append((",".join(seen), list(seen).index(seat.gpus[0])))
    return shared


def backend_for(seats: Sequence[Seat]) -> str:
    """NCCL where each worker has a GPU for itself; gloo on CPUs, and where workers share a GPU, which NCCL refuses."""
    owned = [(seat.node, gpu) for seat in seats for gpu in seat.gpus[:1]]
    return "nccl" if owned and len(set(owned)) == len(seats) else "gloo"


def leaves_on_error(method: _Method) -> _Method:
    """Leave the process group before an error goes out, so that the other workers get one too."""

    @functools.wraps(method)
    def guarded(self: GangWorker, *arguments: Any) -> Any:
        self.beats += 1
        try:
            return method(self, *arguments)
        except BaseException as error:
            # The group's connections close with the last that holds it: the engine, which the traceback holds.
            self._engine = None
            failed: BaseException | None = error
            while failed is not None:
                traceback.clear_frames(failed.__traceback__)
                failed = failed.__cause__ or failed.__context__
            gc.collect()
            self.leave()
            raise

    return cast(_Method, guarded)


class GangWorker:
    """One worker of a gang.

    Args:
        rank: its number, from 0.
        world: workers in the gang.
        cpus: cores that torch may use.
        gpus: its share of GPUs; 0 for none.
    """

    def __init__(self, rank: int, world: int, cpus: float, gpus: float) -> None:
        import decouplenet.engine  # noqa: F401 - all workers import torch at the same time, not one after the other

        self._rank, self._world, self._cpus = rank, world, cpus
        self._device = "cuda:0" if gpus else "cpu"
        self.beats = 0
        """Goes up with every call and everything that a call gets done."""
        self._store: Any = None
        self._engine: Any = None
        self._data: Any = None
        self._data_config: Any = None
        self._metrics: dict[str, Any] = {}

    def seat(self) -> Seat:
        """Where this worker is."""
        gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        return Seat(ray.util.get_node_ip_address(), os.getpid(), tuple(gpus))

    def see(self, devices: str, index: int) -> None:
        """Choose this worker's GPU; before its first use of CUDA, which reads the variable once."""
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
        self._device = f"cuda:{index}"

    def host(self) -> tuple[str, int]:
        """Open the store through which a process group finds together: host and port, the port held from here on."""
        import torch.distributed as dist

        host = ray.util.get_node_ip_address()
        self._store = dist.TCPStore(host, 0, self._world, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
        return host, self._store.port

    def join(self, host: str, port: int, backend: str) -> None:
        """Join the gang's process group, anew if this worker is in one."""
        import torch
        import torch.distributed as dist

        self.leave()
        if self._rank > 0:
            self._store = dist.TCPStore(host, port, self._world, is_master=False)  # type: ignore[attr-defined]
        if self._device != "cpu":
            torch.cuda.set_device(self._device)
        # Who stands still is found by the gang, which knows why; the group itself waits as long as it must.
        forever = datetime.timedelta(days=1)
        dist.init_process_group(backend, store=self._store, rank=self._rank, world_size=self._world, timeout=forever)

    def leave(self) -> None:
        """Leave the process group; whoever waits for this worker in a collective gets an error."""
        import torch.distributed as dist

        from decouplenet.strategies import leave_process_group

        if dist.is_initialized():
            _abort()
            leave_process_group()

    @ray.method(concurrency_group="watch")
    def abort(self) -> None:
        """End what this worker is waiting for in a collective, with an error; answered while another call runs."""
        _abort()

    @ray.method(concurrency_group="watch")
    def progress(self) -> int:
        """A number that goes up while this worker gets anything done; answered while another call runs."""
        return self.beats + (self._engine.batches_done if self._engine is not None else 0)

    @leaves_on_error
    def start(self, config: dict[str, Any]) -> None:
        """Begin a configuration; data that is open already stays open.

        Raises:
            InputError: the data, the weights or the network cannot be had.
        """
        import torch

        from decouplenet.config import Config, DataConfig
        from decouplenet.data.augment import AUGMENTATION
        from decouplenet.data.opened import open_data
        from decouplenet.engine import Engine

        torch.set_num_threads(max(1, int(self._cpus)))  # of the thread that trains, which this is
        if self._engine is not None:
            self._engine.close()
        self._engine = None  # the last trial's memory goes before the next one's comes
        gc.collect()
        gc.freeze()  # what is left are imports: looking through them takes 0.2 s, and once is enough
        if self._device != "cpu":
            torch.cuda.empty_cache()
        wanted = Config.from_dict(config)
        names = (key.removeprefix("data.") for key in AUGMENTATION)  # of which the open data know nothing
        read = replace(wanted.data, **{name: getattr(DataConfig(), name) for name in names})
        if read != self._data_config:
            self._data, self._data_config = None, None
            self._data, self._data_config = open_data(read, self._beat), read
        self._engine = Engine(wanted, self._data, device=self._device, rank=self._rank, world=self._world)

    @leaves_on_error
    def train_epoch(self) -> dict[str, Any]:
        """Train and evaluate one epoch; `epoch` and the engine's measures.

        Raises:
            TrainingFailed: the configuration cannot be trained on.
        """
        trained = self._engine.train_epoch()
        note = {"note": self._engine.note} if self._engine.note else {}
        parameters = sum(weight.numel() for weight in self._engine.model.parameters())
        self._metrics = {"epoch": self._engine.epoch, "parameters": parameters} | trained | self._engine.evaluate()
        self._metrics |= note
        return self._metrics

    @leaves_on_error
    def evaluate(self) -> dict[str, Any]:
        """Measure the validation images with the weights as they are."""
        measured: dict[str, Any] = self._engine.evaluate()
        return measured

    @leaves_on_error
    def latency(self) -> float:
        """Milliseconds that the network takes for one image; part of this epoch's measures from here on."""
        from decouplenet.scoring import latency_ms

        self._metrics["latency_ms"] = latency_ms(self._engine.model, self._engine.config, self._engine.device)
        return float(self._metrics["latency_ms"])

    @leaves_on_error
    def checkpoint(self, notes: dict[str, Any]) -> Files:
        """The checkpoint folder of the last epoch, and `state.pt` to go on from; all workers take part.

        Args:
            notes: what to say in its metrics.json besides the measures.
        """
        from decouplenet.checkpoint import write_training

        state = self._engine.state()
        if self._rank > 0:
            return {}
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "checkpoint"
            names = self._engine.data.train.class_names
            write_training(folder, state, self._engine.config, self._metrics | notes, names)
            return {file.name: file.read_bytes() for file in folder.iterdir()}

    @leaves_on_error
    def restore(self, files: Files) -> None:
        """Go on from what `checkpoint` gave, with the optimiser's settings of this configuration."""
        import json

        from decouplenet.checkpoint import read_training

        self._engine.load_state(read_training(files["state.pt"], files["model.safetensors"]))
        self._metrics = json.loads(files["metrics.json"])
        del self._metrics["class_names"]

    def _beat(self, *_: Any) -> None:
        self.beats += 1


def _abort() -> None:
    """End NCCL's collectives with an error; gloo's end when the other side leaves."""
    import torch.distributed as dist

    if dist.is_initialized() and (group := dist.group.WORLD) is not None:
        group.abort()
