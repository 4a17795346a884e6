"""A gang's worker: the process that holds the opened data and the engine, and trains one epoch per call.

Only `gang.py` makes workers and calls them. A worker that fails leaves the process group, so that the other workers do
not wait for it in a collective for ever.
"""

from __future__ import annotations

import datetime
import functools
import gc
import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import ray

from decouple_search.gang.carried import unpack_extensions
from decouple_search.gang.compat import abort_collectives
from decouple_search.gang.epoch_result import EpochResult
from decouplenet.checkpoint_files import METRICS, STATE, WEIGHTS
from decouplenet.config import Config, DataConfig

Files = dict[str, bytes]
"""The files of a checkpoint, name to content. A worker may be on another machine than its caller."""

_Method = TypeVar("_Method", bound=Callable[..., Any])


class _Opening(NamedTuple):
    """What data are opened for. They stay open for the next configuration that wants the same."""

    data: DataConfig
    backbone: tuple[str, bool | str] | None
    """Its name and weights, if it is frozen."""


class WorkerLocation(NamedTuple):
    """Where a worker runs."""

    node: str
    """The address of its machine, for the other workers."""
    pid: int
    """Its process on that machine."""
    gpus: tuple[str, ...]
    """Ids of the GPUs that Ray gave to the worker."""


def shared_devices(locations: Sequence[WorkerLocation]) -> list[tuple[str, int]]:
    """For each worker, its CUDA_VISIBLE_DEVICES and the index of its own GPU among them.

    NCCL copies directly from GPU to GPU only where a process sees both. So a worker sees the GPUs of all workers of
    its gang on its machine.
    """
    devices = []
    for location in locations:
        visible = dict.fromkeys(gpu for other in locations if other.node == location.node for gpu in other.gpus)
        devices.append((",".join(visible), list(visible).index(location.gpus[0])))
    return devices


def backend_for(locations: Sequence[WorkerLocation]) -> str:
    """NCCL where each worker has a GPU for itself; gloo on CPUs, and where workers share a GPU, which NCCL refuses."""
    gpus = [(location.node, gpu) for location in locations for gpu in location.gpus[:1]]
    return "nccl" if gpus and len(set(gpus)) == len(locations) else "gloo"


def leaves_on_error(method: _Method) -> _Method:
    """Leave the process group before an error is raised, so that the other workers get an error too."""

    @functools.wraps(method)
    def guarded(self: GangWorker, *arguments: Any) -> Any:
        self.beats += 1
        try:
            return method(self, *arguments)
        except BaseException as error:
            # The group's connections close with the last reference to it. The traceback refers to the engine.
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
    """A worker of a gang.

    Args:
        rank: its number in the gang, from 0.
        world: the number of workers in the gang.
        cpus: the cores that torch may use.
        gpus: GPUs or the share of a GPU; 0 for none.
        extensions: the packed extensions of the driver.
    """

    def __init__(self, rank: int, world: int, cpus: float, gpus: float, extensions: bytes = b"") -> None:
        import decouplenet.engine  # noqa: F401 - all workers import torch at the same time, not in turn

        unpack_extensions(extensions)
        self._rank, self._world, self._cpus = rank, world, cpus
        self._device = "cuda:0" if gpus else "cpu"
        self.beats = 0
        """Grows with every call, and with everything that a call finishes."""
        self._store: Any = None
        self._engine: Any = None
        self._data: dict[bool, tuple[_Opening, Any]] = {}  # images and feature maps, and what they were opened for
        self._metrics: dict[str, Any] = {}

    def location(self) -> WorkerLocation:
        """Where this worker runs."""
        gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        return WorkerLocation(ray.util.get_node_ip_address(), os.getpid(), tuple(gpus))

    def use_device(self, devices: str, index: int) -> None:
        """Choose this worker's GPU. Call it before the first use of CUDA, which reads the variable only once."""
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
        self._device = f"cuda:{index}"

    def host(self) -> tuple[str, int]:
        """Open the store that a process group forms through; returns its host and port. The port stays open."""
        import torch.distributed as dist

        host = ray.util.get_node_ip_address()
        self._store = dist.TCPStore(host, 0, self._world, is_master=True, wait_for_workers=False)  # type: ignore[attr-defined]
        return host, self._store.port

    def join(self, host: str, port: int, backend: str) -> None:
        """Join the gang's process group; this worker leaves an earlier group first."""
        import torch
        import torch.distributed as dist

        self.leave()
        if self._rank > 0:
            self._store = dist.TCPStore(host, port, self._world, is_master=False)  # type: ignore[attr-defined]
        if self._device != "cpu":
            torch.cuda.set_device(self._device)
        # The gang finds a worker that hangs, and knows why. The process group itself must not time out.
        forever = datetime.timedelta(days=1)
        dist.init_process_group(backend, store=self._store, rank=self._rank, world_size=self._world, timeout=forever)

    def leave(self) -> None:
        """Leave the process group. A worker that waits for this one in a collective gets an error."""
        import torch.distributed as dist

        from decouplenet.strategies import leave_process_group

        if dist.is_initialized():
            abort_collectives()
            leave_process_group()

    @ray.method(concurrency_group="watch")
    def abort(self) -> None:
        """End a collective that this worker waits in, with an error. Works while another call runs."""
        abort_collectives()

    @ray.method(concurrency_group="watch")
    def progress(self) -> int:
        """A number that grows while this worker makes progress. Works while another call runs."""
        return self.beats + (self._engine.batches_done if self._engine is not None else 0)

    @leaves_on_error
    def start(self, config: Config) -> None:
        """Start a configuration. Data that is open already stays open.

        Raises:
            InputError: the data cannot be read, or the network or its weights cannot be made.
        """
        import torch

        from decouplenet.engine import Engine

        torch.set_num_threads(max(1, int(self._cpus)))  # in this thread, which trains
        if self._engine is not None:
            self._engine.close()
        self._engine = None  # free the last trial's memory before the next trial takes its own
        gc.collect()
        gc.freeze()  # imports are left; collecting them takes 0.2 s, and once is enough
        if self._device != "cpu":
            torch.cuda.empty_cache()
        self._engine = Engine(config, self._open(config), device=self._device, rank=self._rank, world=self._world)

    @leaves_on_error
    def train_epoch(self) -> EpochResult:
        """Train and evaluate an epoch.

        Raises:
            TrainingFailed: the training cannot continue.
        """
        started = time.perf_counter()
        self._train_head()
        trained = self._engine.train_epoch()
        trained["train_seconds"] = time.perf_counter() - started
        parameters = sum(weight.numel() for weight in self._engine.whole_network().parameters())
        measured = {"parameters": parameters} | trained | self._engine.evaluate()
        if self._engine.config.data.broken == "skip":
            measured["broken_images"] = self._engine.data.broken
        epoch, note = self._engine.epoch, self._engine.note
        self._metrics = {"epoch": epoch} | measured | ({"note": note} if note else {})
        numbers = {name: value for name, value in measured.items() if isinstance(value, (int, float))}
        return EpochResult(epoch=epoch, measures=numbers, note=note)

    @leaves_on_error
    def latency(self) -> float:
        """Milliseconds that the network takes for one image. The next checkpoint's metrics.json has them too."""
        from decouplenet.scoring import latency_ms

        self._metrics["latency_ms"] = latency_ms(self._engine.whole_network(), self._engine.config, self._engine.device)
        return float(self._metrics["latency_ms"])

    @leaves_on_error
    def checkpoint(self, notes: dict[str, Any]) -> Files:
        """The checkpoint of the last epoch with its training state. All workers must call it; rank 0 gets the files.

        Args:
            notes: entries of its metrics.json besides the measures.
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
        """Resume from the files of `checkpoint`, with this configuration's own optimiser settings."""
        from decouplenet.checkpoint import read_training

        self._engine.load_state(read_training(files[STATE], files[WEIGHTS]))
        self._metrics = json.loads(files[METRICS])
        del self._metrics["class_names"]

    def _open(self, config: Config) -> Any:
        """The images, or the feature maps, that a config trains on."""
        from decouplenet.data.augment import without_augmentation
        from decouplenet.frozen import open_training_data

        frozen = config.train.freeze_backbone
        backbone = (config.model.backbone, config.model.pretrained) if frozen else None
        opening = _Opening(without_augmentation(config.data), backbone)
        if frozen not in self._data or self._data[frozen][0] != opening:
            self._data.pop(frozen, None)
            self._data[frozen] = opening, open_training_data(config, self._device, self._beat)
        return self._data[frozen][1]

    def _train_head(self) -> None:
        """Train the head alone first, if the configuration wants it and nothing has been trained yet."""
        from decouplenet.engine import Engine
        from decouplenet.head_start import needs_head, trained_head

        engine = self._engine
        if not needs_head(engine):
            return
        maps = self._open(engine.config.for_head(engine.config.train.head_epochs))
        head = trained_head(engine, maps, self._beat)
        engine.close()
        self._engine = Engine(
            engine.config, engine.data, device=self._device, rank=self._rank, world=self._world, head=head
        )

    def _beat(self, *_: Any) -> None:
        self.beats += 1
