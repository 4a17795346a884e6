"""A training on a connected Ray: Ray Train keeps the workers and the checkpoints, this module the folder."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from decouple_search.gang.carried import pack_extensions
from decouple_search.gang.gang import MIN_START_SECONDS
from decouple_search.machines.connection import Connection, available, connect, sigterm_as_sigint, wait_for_machines
from decouple_search.machines.folder_check import check_folder
from decouple_search.machines.prepare import check_networks, prepare_data
from decouple_search.machines.ray_watch import ending_with_ray
from decouple_search.ray_train import compat
from decouple_search.ray_train.compat import API, SNAPSHOT
from decouple_search.ray_train.listener import CHECKPOINTS, Listener
from decouple_search.ray_train.messages import LoopSettings, TrainReport
from decouple_search.ray_train.request import FLAGS, TrainRequest
from decouple_search.ray_train.train_loop import USER_ERRORS, DriverCallback, first_failure, train_loop
from decouple_search.results.best_checkpoint import export_checkpoint
from decouple_search.results.tables import BEST_CHECKPOINT, write_config
from decouple_search.space.objective import Objective
from decouplenet.allocator import allocator_environment
from decouplenet.atomic_files import replace_file
from decouplenet.checkpoint_files import CONFIG, METRICS, STATE
from decouplenet.command_line import print_line
from decouplenet.config import Config
from decouplenet.errors import InputError, TrainingFailed


@contextlib.contextmanager
def open_training(request: TrainRequest) -> Iterator[Training]:
    """A training, ready to run; disconnects at the end.

    The order of the steps matters: the connection gives the machines, the machines give the config its GPUs, and data
    and weights are checked before anything is written.

    Raises:
        InputError: the folder cannot be written, the workers do not fit, or data or weights cannot be read.
    """
    with connect(request.cluster) as connection:
        limits = connection.limits()
        wait_for_machines(limits)
        config = _with_workers(request.config, request.min_workers)
        resolved, machines, _ = available(config, connection.limits())
        config = _with_workers(resolved, request.max_workers)
        has_validation = prepare_data(config, decode=len(machines) == 1)[1] > 0
        check_networks([config])
        start = _write_folder(request, config)
        if request.folder.shared_file(CONFIG) is None:  # on a shared disk each worker looks for itself
            check_folder(request.folder, connection.limits())
        yield Training(request, config, connection, has_validation, start)


def _with_workers(config: Config, workers: int) -> Config:
    return replace(config, scaling=replace(config.scaling, workers_per_trial=workers, min_workers_per_trial=None))


def _write_folder(request: TrainRequest, config: Config) -> str | None:
    """Write the config and the flags; returns the checkpoint to resume from where Ray Train knows of none."""
    local = request.folder.local
    try:
        local.mkdir(parents=True, exist_ok=True)
        write_config(local / CONFIG, config)
        replace_file(local / FLAGS, f"workers: '{request.min_workers}:{request.max_workers}'\n")
        start = newest_checkpoint(local)
    except OSError as error:
        raise InputError(f"--storage: cannot write '{local}' ({error.strerror}); give another folder") from None
    request.folder.push()
    return start


@dataclass(frozen=True)
class Training:
    """A training that can run."""

    request: TrainRequest
    """The request of the user."""
    config: Config
    """The configuration, with its GPUs resolved."""
    connection: Connection
    """The connection to Ray."""
    has_validation: bool
    """Whether there are validation images."""
    start: str | None
    """The checkpoint to resume from where Ray Train knows of none."""

    @property
    def objective(self) -> Objective | None:
        """The objective that chooses the best epoch; None if it needs validation images and there are none."""
        metric = self.config.train.objective
        return None if metric.startswith("val_") and not self.has_validation else Objective.natural(metric)

    def run(self) -> TrainReport:
        """Train to the last epoch; returns the report of the best epoch, or of the last one without an objective.

        Raises:
            InputError, TrainingFailed: the user has to fix something, or a worker was lost too often.
            KeyboardInterrupt: the training was stopped.
        """
        logging.getLogger("ray.train").setLevel(logging.ERROR)
        # On the driver's machine, which stays.
        on_driver = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": on_driver})
        listener = Listener(queue, self.config.train, self.request.folder)
        listener.start()
        resume = f"python -m decouple_search.train --resume {self.request.folder.flags} resumes it"
        try:
            with interruptible(), ending_with_ray(self.connection.processes, resume, self.request.folder.push):
                result = self._trainer(queue).fit()
        except KeyboardInterrupt:
            print_line(f"stopped; {resume}")
            raise
        except ray.train.TrainingFailedError as error:
            cause = compat.cause_of(error)
            if isinstance(cause, USER_ERRORS):
                raise (InputError if isinstance(cause, InputError) else TrainingFailed)(str(cause)) from None
            raise TrainingFailed(f"{_reason(error)}; {resume}") from None
        finally:
            listener.finish()
            queue.shutdown()
        return self._export(result)

    def _trainer(self, queue: Queue) -> Any:
        """Ray Train's trainer of this training."""
        scaling, folder, request = self.config.scaling, self.request.folder, self.request
        gpus, objective = scaling.gpus_per_worker or 0, self.objective
        resources = {"CPU": scaling.cpus_per_worker, "GPU": gpus}
        best: dict[str, Any] = {"num_to_keep": 1}  # besides the best checkpoint, Ray Train keeps the last one
        if objective:
            best |= {"checkpoint_score_attribute": objective.metric, "checkpoint_score_order": objective.mode}
        settings = LoopSettings(
            config=self.config.to_dict(),
            folder=str(folder.local) if folder.shared_file(CONFIG) else None,
            checkpoint=self.start,
            extensions=pack_extensions(),
        )
        return API.torch.TorchTrainer(
            train_loop,
            train_loop_config=settings.to_ray(),
            scaling_config=API.ScalingConfig(
                num_workers=(request.min_workers, request.max_workers) if request.is_elastic else request.max_workers,
                use_gpu=bool(gpus),
                resources_per_worker={name: amount for name, amount in resources.items() if amount},
                placement_strategy=scaling.placement_strategy,
            ),
            # A worker that hangs makes the others time out in a collective, and the workers restart.
            torch_config=API.torch.TorchConfig(
                backend="gloo" if 0 < gpus < 1 else None,  # NCCL refuses a shared GPU
                timeout_s=int(max(MIN_START_SECONDS, scaling.hang_timeout)),
            ),
            run_config=API.RunConfig(
                name=CHECKPOINTS,
                storage_path=folder.uri,
                callbacks=[DriverCallback(queue)],
                failure_config=API.FailureConfig(max_failures=request.max_failures),
                checkpoint_config=API.CheckpointConfig(**best),
                logging_config=API.LoggingConfig(log_level="ERROR"),
                worker_runtime_env={"env_vars": allocator_environment()},
            ),
        )

    def _export(self, result: Any) -> TrainReport:
        """Write the best checkpoint without its training state."""
        best = result.get_best_checkpoint(*self.objective) if self.objective else result.checkpoint
        with best.as_directory() as source:
            export_checkpoint(Path(source), self.request.folder.local / BEST_CHECKPOINT, {})
        self.request.folder.push()
        metrics = next(metrics for checkpoint, metrics in result.best_checkpoints if checkpoint == best)
        return TrainReport.from_ray(metrics)


def _reason(error: ray.train.TrainingFailedError) -> str:
    failures = compat.worker_failures(error)
    return first_failure(failures) if failures else str(error).strip().splitlines()[-1]


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """While the context lasts, Ctrl-C and SIGTERM raise KeyboardInterrupt.

    Ray Train's own handler would end the process, and would stay in place afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        with sigterm_as_sigint():
            yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)


def newest_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint of a training whose list of checkpoints Ray Train cannot read; else None.

    The list is renamed, so that Ray Train starts a new one.
    """
    snapshot = folder / CHECKPOINTS / SNAPSHOT
    if not snapshot.is_file() or compat.snapshot_is_readable(snapshot):
        return None
    snapshot.replace(snapshot.with_suffix(".unreadable"))
    complete: list[tuple[int, int, Path]] = []
    for file in (folder / CHECKPOINTS).glob(f"*/{METRICS}"):
        if (file.parent / STATE).is_file():
            report = TrainReport.from_ray(json.loads(file.read_text()))
            complete.append((report.epoch, report.step, file.parent))
    print_line(f"warning: {snapshot} cannot be read; resuming from the newest checkpoint beside it")
    return str(max(complete)[2]) if complete else None
