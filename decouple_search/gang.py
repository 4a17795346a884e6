"""The warm gang: Ray actors in one torch process group that train one configuration after another.

A gang starts once (processes, imports, process group, opened data) and then serves every trial of its slot; an
epoch is one call on each worker. It lives in the placement group of the trial that made it, one bundle a worker.
A worker that dies raises in the pending call at once.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

# What a worker hands out of a checkpoint, file name to content; it may be on another machine than its caller.
Files = dict[str, bytes]


class GangWorker:
    """One worker: a process that holds the opened data and the engine of the current trial."""

    def __init__(self, rank: int, world: int, cpus: float, gpus: float) -> None:
        import torch

        self._rank, self._world = rank, world
        self._device = "cuda" if gpus else "cpu"
        self._engine: Any = None
        self._data: Any = None
        self._data_config: Any = None
        self._metrics: dict[str, Any] = {}
        torch.set_num_threads(max(1, int(cpus)))

    def address(self) -> str:
        """Where the process group of this worker's gang can meet: `tcp://host:port`."""
        host = ray.util.get_node_ip_address()
        with socket.socket() as free:
            free.bind(("", 0))
            return f"tcp://{host}:{free.getsockname()[1]}"

    def join(self, address: str) -> None:
        """Join the gang's process group."""
        import torch.distributed as dist

        backend = "nccl" if self._device == "cuda" else "gloo"
        dist.init_process_group(backend, init_method=address, rank=self._rank, world_size=self._world)

    def start(self, config: dict[str, Any]) -> None:
        """Begin a configuration; data that is open already stays open.

        Raises:
            InputError: the data, the weights or the network cannot be had.
        """
        from decouplenet.config import Config
        from decouplenet.data.cache import open_data
        from decouplenet.engine import Engine

        self._engine = None  # the last trial's memory goes before the next one's comes
        wanted = Config.from_dict(config)
        if wanted.data != self._data_config:
            self._data, self._data_config = None, None
            self._data, self._data_config = open_data(wanted.data), wanted.data
        self._engine = Engine(wanted, self._data, device=self._device, rank=self._rank, world=self._world)

    def train_epoch(self) -> dict[str, Any]:
        """Train and evaluate one epoch; `epoch` and the engine's measures.

        Raises:
            TrainingFailed: the configuration cannot be trained on.
        """
        trained = self._engine.train_epoch()
        self._metrics = {"epoch": self._engine.epoch} | trained | self._engine.evaluate()
        return self._metrics

    def evaluate(self) -> dict[str, Any]:
        """Measure the validation images with the weights as they are."""
        measured: dict[str, Any] = self._engine.evaluate()
        return measured

    def checkpoint(self) -> Files:
        """The checkpoint folder of the last epoch, and `state.pt` to go on from; all workers take part."""
        import torch

        from decouplenet.checkpoint import write_checkpoint

        state = self._engine.state()
        model = state.pop("model")
        if self._rank > 0:
            return {}
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "checkpoint"
            names = self._engine.data.train.class_names
            write_checkpoint(folder, model, self._engine.config, self._metrics, names)
            torch.save(state, folder / "state.pt")
            return {file.name: file.read_bytes() for file in folder.iterdir()}

    def restore(self, files: Files) -> None:
        """Go on from what `checkpoint` gave, of the same configuration."""
        import io
        import json

        import torch
        from safetensors.torch import load

        state = torch.load(io.BytesIO(files["state.pt"]), weights_only=True)
        self._engine.load_state({**state, "model": load(files["model.safetensors"])})
        self._metrics = json.loads(files["metrics.json"])
        del self._metrics["class_names"]


class Gang:
    """The workers of one slot, as one object.

    Args:
        workers: how many.
        cpus: CPU cores of a worker.
        gpus: GPUs of a worker.
        placement_group: where they run, a bundle each, in order; None for anywhere.

    Raises:
        ray.exceptions.RayActorError: a worker died, in any call.
    """

    def __init__(self, workers: int, cpus: float, gpus: float, placement_group: PlacementGroup | None = None) -> None:
        remote = ray.remote(GangWorker)
        self._workers: list[Any] = []  # actor handles, whose methods Ray makes at run time
        for rank in range(workers):
            where = placement_group and PlacementGroupSchedulingStrategy(
                placement_group, placement_group_bundle_index=rank
            )
            options: dict[str, Any] = {
                "num_cpus": cpus,
                "num_gpus": gpus,
                "scheduling_strategy": where or "DEFAULT",
            }
            self._workers.append(remote.options(**options).remote(rank, workers, cpus, gpus))
        if workers > 1:
            address = ray.get(self._workers[0].address.remote())
            self._all("join", address)

    def start(self, config: dict[str, Any]) -> None:
        """Begin a configuration on all workers."""
        self._all("start", config)

    def train_epoch(self) -> dict[str, Any]:
        """Train and evaluate one epoch; the measures are the same on every worker."""
        measured: dict[str, Any] = self._all("train_epoch")[0]
        return measured

    def evaluate(self) -> dict[str, Any]:
        """Measure the validation images."""
        measured: dict[str, Any] = self._all("evaluate")[0]
        return measured

    def checkpoint(self) -> Files:
        """The files of a checkpoint folder, with `state.pt`."""
        files: Files = self._all("checkpoint")[0]
        return files

    def restore(self, files: Files) -> None:
        """Go on from a checkpoint's files."""
        self._all("restore", ray.put(files))

    def stop(self) -> None:
        """End the workers."""
        for worker in self._workers:
            ray.kill(worker)

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        answers: list[Any] = ray.get([getattr(worker, method).remote(*arguments) for worker in self._workers])
        return answers


def read_files(folder: str | os.PathLike[str]) -> Files:
    """The files of a checkpoint folder, as `Gang.restore` takes them."""
    return {file.name: file.read_bytes() for file in Path(folder).iterdir() if file.is_file()}


def cause_of(error: Exception) -> str:
    """The first line of what went wrong in a worker, without Ray's account of where it was raised."""
    cause = getattr(error, "cause", None) or error
    return str(cause).partition("\n")[0]
