"""One training on a connected Ray: Ray Train keeps the workers and the checkpoints, this its folder."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import ray.train
import ray.train.torch
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from decouple_search.gang.gang import START
from decouple_search.machines.connection import check_nodes, connect, room, sigterm_as_sigint, wait_for_machines
from decouple_search.machines.prepare import check_weights, prepare_data
from decouple_search.ray_train.train_loop import WANTED, Told, culprit, train_loop
from decouple_search.ray_tune.callbacks.tensorboard import Run
from decouple_search.results import tables as results
from decouple_search.storage.folder import Folder, replace_text
from decouplenet.command_line import print_line
from decouplenet.config import Config
from decouplenet.errors import InputError, TrainingFailed

SNAPSHOT = "checkpoints/checkpoint_manager_snapshot.json"
"""Where Ray Train keeps which checkpoints there are."""


class Training:
    """A training, as a context: connects, and lets go at the end.

    Args:
        folder: to write; with its config.yaml when it goes on.
        config: what to train.
        workers: the least and the most.
        max_failures: times to start the workers again after one is lost.
        cluster: file of the cluster, for the machines that its autoscaler may add.

    Raises:
        InputError: the folder cannot be written, the least workers do not fit, or data or weights cannot be had.
    """

    def __init__(
        self, folder: Folder, config: Config, workers: tuple[int, int], *, max_failures: int, cluster: str | None = None
    ) -> None:
        self.folder, self.config, self._cluster = folder, config, cluster
        self._workers, self._max_failures = workers, max_failures

    def __enter__(self) -> Training:
        self._ours, growth = connect(self._cluster)
        try:
            least = replace(self.config, scaling=replace(self.config.scaling, workers_per_trial=self._workers[0]))
            wait_for_machines(growth())
            resolved, nodes, _ = room(least, growth())
            self.config = replace(resolved, scaling=replace(resolved.scaling, workers_per_trial=self._workers[1]))
            self._measured = prepare_data(self.config, decode=len(nodes) == 1) > 0
            check_weights(self.config)
            try:
                self.folder.local.mkdir(parents=True, exist_ok=True)
                results.write_best_config(self.folder.local / "config.yaml", self.config)
                replace_text(self.folder.local / "flags.yaml", "workers: '{}:{}'\n".format(*self._workers))
                self._since = rescued(self.folder.local)
            except OSError as error:
                where = self.folder.local
                raise InputError(f"--storage: cannot write '{where}' ({error.strerror}); give another folder") from None
            self.folder.push()
            if self.folder.remote:  # a worker sees for itself whether a folder is shared
                check_nodes(self.folder, growth())
        except BaseException:
            self._disconnect()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disconnect()

    def _disconnect(self) -> None:
        if self._ours:
            ray.shutdown()

    def run(self) -> dict[str, Any]:
        """Train to the last epoch; the measures of the best one.

        Raises:
            InputError, TrainingFailed: what the user has to mend; a worker that was lost too often is the latter.
            KeyboardInterrupt: it was stopped.
        """
        logging.getLogger("ray.train").setLevel(logging.ERROR)
        # On the driver's machine, which no one takes away from under it.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        told = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        scaling, (least, most) = self.config.scaling, self._workers
        resources = {"CPU": scaling.cpus_per_worker, "GPU": scaling.gpus_per_worker or 0}
        api: Any = ray.train  # declared as its first version, which it is not
        trainer = api.torch.TorchTrainer(
            train_loop,
            train_loop_config={
                "config": self.config.to_dict(),
                "folder": None if self.folder.remote else str(self.folder.local),
                "since": self._since,
            },
            scaling_config=api.ScalingConfig(
                num_workers=most if least == most else (least, most),
                use_gpu=bool(scaling.gpus_per_worker),
                resources_per_worker={kind: amount for kind, amount in resources.items() if amount},
                placement_strategy=scaling.placement_strategy,
            ),
            # Found hung by those that wait for it, and started again.
            torch_config=api.torch.TorchConfig(
                backend="gloo" if 0 < (scaling.gpus_per_worker or 0) < 1 else None,  # NCCL refuses a shared GPU
                timeout_s=int(max(START, scaling.hang_timeout)),
            ),
            run_config=api.RunConfig(
                name="checkpoints",
                storage_path=self.folder.uri,
                callbacks=[Told(told)],
                failure_config=api.FailureConfig(max_failures=self._max_failures),
                checkpoint_config=api.CheckpointConfig(  # the last one stays besides
                    num_to_keep=1, checkpoint_score_attribute="val_map" if self._measured else None
                ),
                logging_config=api.LoggingConfig(log_level="ERROR"),
            ),
        )
        listener = Listener(told, self.config.train.epochs, self.folder)
        listener.start()
        goes_on = f"python -m decouple_search.train --resume {self.folder.flags} goes on"
        try:
            with interruptible():
                result = trainer.fit()
        except KeyboardInterrupt:
            print_line(f"stopped; {goes_on}")
            raise
        except ray.train.TrainingFailedError as error:
            cause = getattr(error, "controller_failure", error)
            if isinstance(cause, WANTED):
                raise (InputError if isinstance(cause, InputError) else TrainingFailed)(str(cause)) from None
            raise TrainingFailed(f"{_reason(error)}; {goes_on}") from None
        finally:
            listener.finish()
            told.shutdown()
        return self._export(result)

    def _export(self, result: Any) -> dict[str, Any]:
        """Write the best checkpoint without its training state."""
        best = result.get_best_checkpoint("val_map", "max") if self._measured else result.checkpoint
        with best.as_directory() as source:
            results.export_checkpoint(Path(source), self.folder.local / "best_checkpoint", {})
        self.folder.push()
        measured: dict[str, Any] = next(m for c, m in result.best_checkpoints if c == best)
        return measured


class Listener(threading.Thread):
    """Prints and plots what the workers report, while the driver waits.

    Args:
        queue: what `Told` fills.
        epochs: of the whole training.
        folder: the training's, for TensorBoard.
    """

    def __init__(self, queue: Queue, epochs: int, folder: Folder) -> None:
        super().__init__(daemon=True)
        self._queue, self._epochs, self._folder = queue, epochs, folder
        self._run = Run(folder.local / "tensorboard")
        self._since, self._note = time.monotonic(), ""
        self._saved = "its last checkpoint" if (folder.local / "checkpoints").exists() else "the beginning"

    def run(self) -> None:
        """Until None comes."""
        while (told := self._queue.get()) is not None:
            self._tell(told)

    def finish(self) -> None:
        """End with what has been told by now."""
        self._queue.put(None)
        self.join()
        self._run.close()

    def _tell(self, told: dict[str, Any]) -> None:
        clock = f"{time.monotonic() - self._since:7.1f} s"
        if (note := told.get("note", self._note)) != self._note:
            print_line(f"{clock}  {note}")
            self._note = note
        if "lost" in told:
            print_line(f"{clock}  lost {told['lost']}; what is saved is {self._saved}")
            return
        self._saved = f"the end of epoch {told['epoch']}"  # a checkpoint comes with each report
        if "train_loss" not in told:
            self._saved = f"epoch {told['epoch'] + 1}, step {told['step']}"
            because = ", as a machine is about to be taken away" if told["saved"] == "notice" else ""
            print_line(f"{clock}  {self._saved}: saved{because}")
        else:
            self._run.epoch(told)
            measured = f"val_map {told['val_map']:.4f}  " if "val_map" in told else ""
            print_line(
                f"{clock}  epoch {told['epoch']}/{self._epochs}  train_loss {told['train_loss']:.4f}  {measured}"
                f"{told['images_per_second']:.0f} images/s on {told['workers']} workers"
            )
            self._push()

    def _push(self) -> None:
        try:
            self._folder.push()
        except InputError as error:  # the training goes on, and the next epoch brings all of it
            print_line(f"warning: {error}")


def _reason(error: ray.train.TrainingFailedError) -> str:
    failures = getattr(error, "worker_failures", {})
    return culprit(failures) if failures else str(error).strip().splitlines()[-1]


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """KeyboardInterrupt at Ctrl-C and SIGTERM; Ray Train's own handler would end the process, and stay."""
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


def rescued(folder: Path) -> str | None:
    """The newest whole checkpoint of a training whose list of checkpoints Ray cannot read, and that is put aside.

    Ray writes the list in place, so a kill or a full disk can leave a part of it; another version refuses it.
    """
    snapshot = folder / SNAPSHOT
    if not snapshot.is_file():
        return None
    try:
        if json.loads(snapshot.read_text())["ray_version"] == ray.__version__:
            return None
    except (ValueError, TypeError, KeyError):
        pass
    snapshot.replace(snapshot.with_suffix(".unreadable"))
    found: list[tuple[int, int, Path]] = []
    for file in (folder / "checkpoints").glob("*/metrics.json"):
        if (file.parent / "state.pt").is_file():
            metrics = json.loads(file.read_text())
            found.append((metrics["epoch"], metrics["step"], file.parent))
    print_line(f"warning: {snapshot} cannot be read; going on from the newest checkpoint beside it")
    return str(max(found)[2]) if found else None
