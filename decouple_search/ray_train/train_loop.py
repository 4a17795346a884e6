"""Ray Train as the host of one training: what each of its workers runs, and what the driver hears of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import ray.train
import ray.train.collective
import ray.train.torch
import ray.util
from ray.train import Checkpoint, UserCallback

from decouplenet.checkpoint import read_training, write_training
from decouplenet.config import Config
from decouplenet.data.opened import Data, open_data
from decouplenet.engine import Engine
from decouplenet.errors import InputError, TrainingFailed

ASK = 10
"""Steps between two looks at whether to save."""
SAVE = 300.0
"""Seconds of an epoch after which it is saved half-way: what a lost machine, or a new one, may cost at most."""
WANTED = (InputError, TrainingFailed)
"""What the user has to mend, and no retry would."""

_T = TypeVar("_T")


def train_loop(settings: dict[str, Any]) -> None:
    """Train on this worker, from the newest checkpoint to the last epoch.

    Args:
        settings: `config`, nested; `folder`, the training's on a shared disk, or None; `since`, the checkpoint to
            begin from where Ray knows of none, or None.

    Raises:
        InputError, TrainingFailed: what the user has to mend.
    """
    import torch

    context, config = ray.train.get_context(), Config.from_dict(settings["config"])
    rank, world = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(max(1, int(config.scaling.cpus_per_worker)))
    data = _agreed(lambda: _open(config, settings["folder"]), world)
    engine = Engine(config, data, device=ray.train.torch.get_device(), rank=rank, world=world)
    since = Checkpoint(settings["since"]) if settings["since"] else None
    if checkpoint := ray.train.get_checkpoint() or since:
        with checkpoint.as_directory() as folder:
            engine.load_state(_read(Path(folder)))
    pause = Pause()
    while engine.epoch < config.train.epochs:
        metrics: dict[str, Any] = dict(engine.train_epoch(pause))
        if metrics:
            metrics |= engine.evaluate()
        if engine.note:
            metrics["note"] = engine.note
        _report(engine, {"epoch": engine.epoch, "step": engine.step, "workers": world, **metrics}, pause.why)
        pause.saved()


def _open(config: Config, folder: str | None) -> Data:
    """What may be there on one machine and not on another."""
    if folder and not (Path(folder) / "config.yaml").is_file():
        raise InputError(
            f"--storage: '{folder}' is not there on {ray.util.get_node_ip_address()}; give a folder that all machines "
            "share, or a URI such as s3://bucket/runs"
        )
    if config.model.pretrained:
        from decouplenet.backbones import build_backbone

        build_backbone(config.model.backbone, config.model.pretrained)
    return open_data(config.data)


def _agreed(step: Callable[[], _T], world: int) -> _T:
    """What a step gives on this worker; if it fails on any, its error on all, and none waits for another."""
    import torch.distributed as dist

    result, error = None, None
    try:
        result = step()
    except WANTED as raised:
        error = raised
    if world > 1:
        ray.train.collective.barrier()  # as long as it takes: one may decode what another has in its cache
        errors: list[Any] = [None] * world
        dist.all_gather_object(errors, error)
        error = next(filter(None, errors), None)
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


class Pause:
    """Says, between two steps, whether to save now; the same on all workers.

    It is so when a machine of this training is about to be taken away, once for each, and when an epoch takes long.
    """

    def __init__(self) -> None:
        self.why = ""
        """Why it last said yes: notice, or time."""
        self._asked = 0
        self._seen: set[str] = set()
        self.saved()

    def saved(self) -> None:
        """Count the time anew."""
        self._since = time.monotonic()

    def __call__(self) -> bool:
        """Whether to save now."""
        self._asked += 1
        if self._asked % ASK:
            return False
        info = ray.train.get_preemption_info()
        new = set(info.preempted_node_ids) - self._seen if info else set()
        self._seen |= new
        late = ray.train.collective.broadcast_from_rank_zero(time.monotonic() - self._since > SAVE)
        self.why = "notice" if new else "time"
        return bool(new or late)


class Told(UserCallback):
    """Hands what is reported to the driver.

    Args:
        queue: a `ray.util.queue.Queue`.
    """

    def __init__(self, queue: Any) -> None:
        self._queue, self._lost = queue, ""

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None) -> None:
        """Tell the first worker's measures, which are all workers'."""
        self._lost = ""
        self._queue.put(metrics[0])

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Tell why the workers start again; what the user has to mend is raised, which ends the training instead."""
        for error in worker_exceptions.values():
            if isinstance(error, WANTED):
                raise error
        if (lost := culprit(worker_exceptions)) != self._lost:  # Ray asks again and again until the workers are ended
            self._queue.put({"lost": lost})
        self._lost = lost


def culprit(failures: Mapping[int, Exception]) -> str:
    """What went wrong, in a line: of a worker that died rather than of those that waited for it in a collective.

    Args:
        failures: errors by rank.
    """
    died = {rank: error for rank, error in failures.items() if type(error).__module__.startswith("ray.")}
    rank, error = min((died or failures).items())
    lines = str(error).strip().splitlines() or [""]
    # Ray's account of a death ends with what to look at.
    reason = next((line for line in lines if "unexpectedly" in line or "died" in line), lines[0])
    kind = "" if died else f"{type(error).__name__}: "
    return f"worker {rank}: {kind}{' '.join(reason.split())}"


def _report(engine: Engine, metrics: dict[str, Any], why: str) -> None:
    if "train_loss" not in metrics:
        metrics["saved"] = why
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
