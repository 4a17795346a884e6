"""The loop of each worker of a training under Ray Train, and the callback that reports to the driver."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.train import Checkpoint, UserCallback

from decouple_search.gang.carried import unpack_extensions
from decouple_search.ray_train import compat
from decouple_search.ray_train.compat import API
from decouple_search.ray_train.messages import LoopSettings, Reason, TrainReport, WorkerLost
from decouplenet.checkpoint import read_training, write_training
from decouplenet.checkpoint_files import CONFIG, STATE, WEIGHTS
from decouplenet.config import Config
from decouplenet.data.opened import Data
from decouplenet.engine import Engine
from decouplenet.errors import InputError, TrainingFailed
from decouplenet.frozen import open_training_data
from decouplenet.head_start import needs_head, trained_head

STEPS_PER_QUESTION = 10
"""Steps between two questions whether to save."""
SAVE_SECONDS = 300.0
"""Seconds of an epoch after which it is saved before its end. A lost machine, or a new one, costs at most that."""
USER_ERRORS = (InputError, TrainingFailed)
"""Errors that the user has to fix. Trying once more would not help."""

_T = TypeVar("_T")


def train_loop(carried: dict[str, Any]) -> None:
    """Train on this worker, from the newest checkpoint to the last epoch.

    Args:
        carried: `LoopSettings`, as Ray Train passes them.

    Raises:
        InputError, TrainingFailed: the user has to fix something.
    """
    import torch

    settings = LoopSettings.from_ray(carried)
    unpack_extensions(settings.extensions)
    context, config = API.get_context(), Config.from_dict(settings.config)
    rank, world = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(max(1, int(config.scaling.cpus_per_worker)))
    data = _on_all(lambda: _open(config, settings.folder), world)
    engine = Engine(config, data, device=API.torch.get_device(), rank=rank, world=world)
    start = Checkpoint(settings.checkpoint) if settings.checkpoint else None
    if checkpoint := API.get_checkpoint() or start:
        with checkpoint.as_directory() as folder:
            engine.load_state(_read(Path(folder)))
    if needs_head(engine):
        for_head = config.for_head(config.train.head_epochs)
        head = trained_head(engine, _on_all(lambda: open_training_data(for_head, API.torch.get_device()), world))
        engine.close()
        engine = Engine(config, data, device=API.torch.get_device(), rank=rank, world=world, head=head)
    signal = SaveSignal()
    while engine.epoch < config.train.epochs:
        measures: dict[str, Any] = dict(engine.train_epoch(signal))
        if measures:
            measures |= engine.evaluate()
        where = {"epoch": engine.epoch, "step": engine.step, "workers": world}
        _report(engine, TrainReport(**where, measures=measures, note=engine.note, saved=signal.reason))
        signal.reset()


def _open(config: Config, folder: str | None) -> Data:
    """The data and the weights, which one machine may have and another may not."""
    if folder and not (Path(folder) / CONFIG).is_file():
        raise InputError(
            f"--storage: '{folder}' is not there on {ray.util.get_node_ip_address()}; give a folder that all machines "
            "share, or a URI such as s3://bucket/runs"
        )
    if config.model.pretrained and not config.train.freeze_backbone:
        from decouplenet.backbones import build_backbone

        build_backbone(config.model.backbone, config.model.pretrained)
    return open_training_data(config, API.torch.get_device())


def _on_all(step: Callable[[], _T], world: int) -> _T:
    """The result of a step on this worker. If the step fails on any worker, its error is raised on all."""
    import torch.distributed as dist

    result, error = None, None
    try:
        result = step()
    except USER_ERRORS as raised:
        error = raised
    if world > 1:
        API.collective.barrier()  # without a time limit: one worker may decode what another has in its cache
        errors: list[Any] = [None] * world
        dist.all_gather_object(errors, error)
        error = next(filter(None, errors), None)
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


class SaveSignal:
    """Says, between two steps, whether to save now. All workers get the same answer.

    The answer is yes when a machine of this training is about to be taken away, once for each machine, and when an
    epoch takes long.
    """

    def __init__(self) -> None:
        self.reason: Reason = ""
        """Why the last answer was yes."""
        self._questions = 0
        self._seen: set[str] = set()
        self.reset()

    def reset(self) -> None:
        """Start the time of an epoch."""
        self._since = time.monotonic()

    def __call__(self) -> bool:
        """Whether to save now."""
        self._questions += 1
        if self._questions % STEPS_PER_QUESTION:
            return False
        new = compat.doomed_nodes() - self._seen
        self._seen |= new
        late = compat.any_on_rank_zero(time.monotonic() - self._since > SAVE_SECONDS)
        self.reason = "notice" if new else "time"
        return bool(new or late)


class DriverCallback(UserCallback):
    """Passes reports and losses to the driver.

    Args:
        queue: a `ray.util.queue.Queue` of `TrainReport` and `WorkerLost`.
    """

    def __init__(self, queue: Any) -> None:
        self._queue, self._lost = queue, ""

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Checkpoint | None) -> None:
        """Pass the report of the first worker to the driver. All workers report the same."""
        self._lost = ""
        self._queue.put(TrainReport.from_ray(metrics[0]))

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Report to the driver why the workers restart. An error that the user has to fix ends the training."""
        for error in worker_exceptions.values():
            if isinstance(error, USER_ERRORS):
                raise error
        lost = first_failure(worker_exceptions)
        if lost != self._lost:  # Ray repeats it until the workers are ended
            self._queue.put(WorkerLost(lost))
        self._lost = lost


def first_failure(failures: Mapping[int, Exception]) -> str:
    """The first failure, in one line: a worker's death, not the errors of the workers that waited for it.

    Args:
        failures: errors by rank.
    """
    died = {rank: error for rank, error in failures.items() if type(error).__module__.startswith("ray.")}
    rank, error = min((died or failures).items())
    lines = str(error).strip().splitlines() or [""]
    # Ray's account of a death ends with advice.
    reason = next((line for line in lines if "unexpectedly" in line or "died" in line), lines[0])
    kind = "" if died else f"{type(error).__name__}: "
    return f"worker {rank}: {kind}{' '.join(reason.split())}"


def _report(engine: Engine, report: TrainReport) -> None:
    state, metrics = engine.state(), report.to_ray()
    if engine.rank > 0:
        API.report(metrics)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "checkpoint"
        write_training(folder, state, engine.config, metrics, engine.data.train.class_names)
        API.report(metrics, Checkpoint.from_directory(folder))


def _read(folder: Path) -> dict[str, Any]:
    return read_training((folder / STATE).read_bytes(), (folder / WEIGHTS).read_bytes())
