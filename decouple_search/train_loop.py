"""Ray Train as the host of one training: what each of its workers runs, and what the driver hears of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
from ray.train import Checkpoint, UserCallback

from decouplenet.checkpoint import read_training, write_training
from decouplenet.config import Config
from decouplenet.data.cache import open_data
from decouplenet.engine import Engine
from decouplenet.errors import InputError, TrainingFailed

ASK = 10
"""Steps between two looks at whether a machine is about to be taken away."""


def train_loop(settings: dict[str, Any]) -> dict[str, str]:
    """Train on this worker, from the newest checkpoint to the last epoch; `settings` is a nested config.

    Returns:
        Nothing; or under `InputError` or `TrainingFailed` what the user has to mend, which no retry would.
    """
    import torch

    context, config = ray.train.get_context(), Config.from_dict(settings)
    rank, world = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(max(1, int(config.scaling.cpus_per_worker)))
    try:
        device = ray.train.torch.get_device()
        engine = Engine(config, open_data(config.data), device=device, rank=rank, world=world)
        if checkpoint := ray.train.get_checkpoint():
            with checkpoint.as_directory() as folder:
                engine.load_state(_read(Path(folder)))
        notice = Notice()
        while engine.epoch < config.train.epochs:
            metrics: dict[str, Any] = dict(engine.train_epoch(notice))
            if metrics:
                metrics |= engine.evaluate()
            if engine.note:
                metrics["note"] = engine.note
            _report(engine, {"epoch": engine.epoch, "step": engine.step, "workers": world, **metrics})
    except (InputError, TrainingFailed) as error:
        if isinstance(error.__cause__, torch.OutOfMemoryError):
            raise  # perhaps on this worker alone, and the others wait for it
        return {type(error).__name__: str(error)}
    return {}


class Notice:
    """Asks Ray, now and then, whether a machine of this training is about to be taken away; true once for each."""

    def __init__(self) -> None:
        self._asked = 0
        self._seen: set[str] = set()

    def __call__(self) -> bool:
        """Whether to write a checkpoint now; the same on all workers."""
        self._asked += 1
        if self._asked % ASK:
            return False
        info = ray.train.get_preemption_info()
        new = set(info.preempted_node_ids) - self._seen if info else set()
        self._seen |= new
        return bool(new)


class Told(UserCallback):
    """Hands what is reported to the driver.

    Args:
        queue: a `ray.util.queue.Queue`.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None) -> None:
        """Tell the first worker's measures, which are all workers'."""
        self._queue.put(metrics[0])

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Tell why the workers start again."""
        self._queue.put({"lost": culprit(worker_exceptions)})


def culprit(failures: Mapping[int, Exception]) -> str:
    """What went wrong, in a line: of a worker that died rather than of those that waited for it in a collective.

    Args:
        failures: errors by rank. Ray Train wraps what a train loop raised in the text of its traceback.
    """
    died = {rank: error for rank, error in failures.items() if not str(error).startswith("Traceback")}
    rank, error = min((died or failures).items())
    lines = str(error).strip().splitlines()
    # Ray's account of a death ends with what to look at; a traceback ends with the error.
    reason = next((line for line in lines if "unexpectedly" in line or "died" in line), lines[-1])
    return f"worker {rank}: {' '.join(reason.split())}"


def _report(engine: Engine, metrics: dict[str, Any]) -> None:
    state = engine.state()
    if engine.rank > 0:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "checkpoint"
        write_training(folder, state, engine.config, metrics, engine.data.train.class_names)
        ray.train.report(metrics, Checkpoint.from_directory(folder))


def _read(folder: Path) -> dict[str, Any]:
    return read_training((folder / "state.pt").read_bytes(), (folder / "model.safetensors").read_bytes())
