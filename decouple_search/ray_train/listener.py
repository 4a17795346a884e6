"""Prints and plots what a training's workers report, while the driver waits for them."""

from __future__ import annotations

import threading
import time

from ray.util.queue import Queue

from decouple_search.ray_train.messages import TrainReport, WorkerLost
from decouple_search.results.tensorboard_run import TensorBoardRun
from decouple_search.storage.folder import Folder
from decouplenet.command_line import print_line
from decouplenet.config import TrainConfig
from decouplenet.errors import InputError

CHECKPOINTS = "checkpoints"
"""Ray Train's folder in the training's."""


class Listener(threading.Thread):
    """Reads messages until `finish` is called.

    Args:
        queue: filled by `DriverCallback`.
        train: the training's length and its objective.
        folder: the training's folder, for TensorBoard. It is brought up to date after each epoch.
    """

    def __init__(self, queue: Queue, train: TrainConfig, folder: Folder) -> None:
        super().__init__(daemon=True)
        self._queue, self._epochs, self._metric = queue, train.epochs, train.objective
        self._folder, self._run = folder, TensorBoardRun(folder.local / "tensorboard")
        self._since, self._note = time.monotonic(), ""
        self._saved = "its last checkpoint" if (folder.local / CHECKPOINTS).exists() else "the beginning"

    def run(self) -> None:
        """Read messages until None comes."""
        while (message := self._queue.get()) is not None:
            self._show(message)

    def finish(self) -> None:
        """Read the messages that are there, and end."""
        self._queue.put(None)
        self.join()
        self._run.close()

    def _show(self, message: TrainReport | WorkerLost) -> None:
        clock = f"{time.monotonic() - self._since:7.1f} s"
        if isinstance(message, WorkerLost):
            print_line(f"{clock}  lost {message.reason}; saved so far: {self._saved}")
            return
        if message.note != self._note and message.note:
            print_line(f"{clock}  {message.note}")
            self._note = message.note
        if message.is_epoch:
            self._saved = f"the end of epoch {message.epoch}"  # a checkpoint comes with each report
            self._show_epoch(clock, message)
        else:
            self._saved = f"epoch {message.epoch + 1}, step {message.step}"
            because = ", because a machine is about to be taken away" if message.saved == "notice" else ""
            print_line(f"{clock}  {self._saved}: saved{because}")

    def _show_epoch(self, clock: str, report: TrainReport) -> None:
        measures = report.measures
        self._run.epoch(report.epoch, {k: v for k, v in measures.items() if isinstance(v, (int, float))})
        names = [name for name in dict.fromkeys(("train_loss", self._metric)) if name in measures]
        values = "  ".join(f"{name} {measures[name]:.4f}" for name in names)
        print_line(
            f"{clock}  epoch {report.epoch}/{self._epochs}  {values}  "
            f"{measures['images_per_second']:.0f} images/s on {report.workers} workers"
        )
        self._push()

    def _push(self) -> None:
        try:
            self._folder.push()
        except InputError as error:  # the training continues, and the next epoch copies everything
            print_line(f"warning: {error}")
