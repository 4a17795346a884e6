"""Live progress: a bar and a line a trial on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from decouplenet.command_line import print_line


@contextlib.contextmanager
def decoding_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A callback of (done, all) that shows how far the decoding of one image set is; silent if there is none."""
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task(f"decoding {name}")

        def show(done: int, count: int) -> None:
            bar.update(task, completed=done, total=count)
            if done == count:
                print_line(f"decoded    {count} {name} images into the cache")

        yield show


def lost(trial: Any) -> str:
    """Why Tune gave a trial up or starts it again, in a line."""
    errors = re.findall(r"^[\w.]+(?:Error|Exception): (.+)", error_text(trial), re.MULTILINE)
    return str(errors[-1]) if errors else "its worker was lost"


def error_text(trial: Any) -> str:
    """What Tune wrote of a trial's last failure into the file that it keeps of them."""
    file = Path(trial.local_path) / "error.txt"
    return file.read_text().rpartition("Failure # ")[2] if file.exists() else ""


class LiveProgress(Callback):
    """Prints how a search goes.

    Args:
        trials: how many it will run.
        epochs: the most a trial trains.
        metric: the objective.
        mode: max or min.
        ended: trials that ended in earlier runs.
        again: Tune's ids of trials that ended before they had started, and begin again.
    """

    def __init__(
        self, trials: int, epochs: int, metric: str, mode: str, *, ended: int = 0, again: Collection[str] = ()
    ) -> None:
        self._again = again
        self._epochs, self._metric, self._sign = epochs, metric, 1 if mode == "max" else -1
        self._best: tuple[float, str] | None = None
        self._started = time.monotonic()
        self._ended = ended
        self._lineages: dict[str, int] = {}
        self._notes: dict[str, str] = {}
        self.failures: list[str] = []
        """Why trials failed, in the order in which they did."""
        self._total = trials
        self._bar: Progress | None = None
        if sys.stdout.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=Console(highlight=False, markup=False))
            self._task = self._bar.add_task("trials", total=trials, completed=ended)

    def __getstate__(self) -> dict[str, Any]:
        """Without the bar: Tune pickles its callbacks at the start, and a terminal cannot be."""
        return self.__dict__ | {"_bar": None}

    def __enter__(self) -> LiveProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def known(self, value: float, name: str) -> None:
        """Begin with the best trial of an earlier run."""
        self._best = (value, name)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Print an epoch (plain) or move the bar's text (terminal)."""
        if "failed" in result:
            return
        value, name = result[self._metric], str(trial)
        lineage = result.get("lineage") or []
        if len(lineage) > self._lineages.get(name, 0):
            self._say(f"trial {name}  went on from trial {lineage[-1]}")
        self._lineages[name] = len(lineage)
        if (note := result.get("note", "")) != self._notes.get(name, ""):
            self._say(f"trial {name}  {note}")
            self._notes[name] = note
        if self._best is None or self._sign * value > self._sign * self._best[0]:
            self._best = (value, name)
        if self._bar:
            self._bar.update(self._task, description=f"best {self._metric} {self._best[0]:.4f} ({self._best[1]})")
        else:
            self._line(
                f"trial {name}  epoch {result['epoch']}/{self._epochs}  {self._metric} {value:.4f}  "
                f"best {self._best[0]:.4f} ({self._best[1]})"
            )

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print how a trial ended."""
        if trial.trial_id in self._again:
            why = (trial.last_result or {}).get("failed", "its machines are not there")
            self._say(f"trial {trial}  begins again: {why}")
            return
        result = trial.last_result or {}
        name = str(trial)
        if "failed" in result:
            self.failures.append(result["failed"])
            self._end(f"trial {name}  FAIL: {result['failed']}")
        elif "epoch" in result:
            state = "COMPLETE" if result["epoch"] >= self._epochs else "PRUNED"
            self._end(
                f"trial {name}  {state} after {result['epoch']} epochs  {self._metric} {result[self._metric]:.4f}"
            )

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print that a trial was lost."""
        if trial.trial_id in self._again:
            self._say(f"trial {trial}  begins again: {lost(trial)}")
            return
        self.failures.append(lost(trial))
        self._end(f"trial {trial}  FAIL: {lost(trial)}")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print that a trial starts again."""
        since = "from its last checkpoint" if trial.checkpoint else "from the beginning"
        self._say(f"trial {trial}  goes on {since}, on a new gang: {lost(trial)}")

    def _end(self, text: str) -> None:
        self._ended += 1
        if self._bar:
            self._bar.advance(self._task)
        self._say(text if self._bar else f"{text}  [{self._ended}/{self._total}]")

    def _say(self, text: str) -> None:
        if self._bar:
            self._bar.console.print(text)
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        print_line(f"{time.monotonic() - self._started:7.1f} s  {text}")
