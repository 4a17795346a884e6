"""Live progress: a bar and one line per trial on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from decouple_search.ray_tune.compat import restart_checkpoint
from decouple_search.ray_tune.ray_errors import loss_message
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import from_tune, last_result
from decouple_search.space.objective import Objective
from decouple_search.study.record import Incumbent, trial_name
from decouplenet.command_line import print_line
from decouplenet.wording import counted

SCREENED = "screened"
"""What follows the values of screened trials."""


class LiveProgress(Callback):
    """Prints how a search goes.

    Args:
        trials: the number of trials of the search.
        epochs: the epochs of a full training.
        objective: the first objective.
        ended: trials that ended in earlier runs.
        repeats: the number of trainings of finalists that follow the trials.
        requeue: the trials that are proposed once more when they end.
        incumbent: gives the trial that is expected to be the best; None to leave it out.
    """

    def __init__(
        self,
        trials: int,
        epochs: int,
        objective: Objective,
        *,
        ended: int = 0,
        repeats: int = 0,
        requeue: Requeue | None = None,
        incumbent: Callable[[], Incumbent | None] | None = None,
    ) -> None:
        self._requeue = requeue or Requeue()
        self._trials, self._epochs, self._objective, self._ended = trials, epochs, objective, ended
        self._best: tuple[float, str] | None = None
        self._incumbent = incumbent
        self._started = time.monotonic()
        self._left: set[str] = set()  # trials that have left their slot
        self._lineages: dict[str, tuple[str, ...]] = {}  # by trial
        self._notes: set[str] = set()  # those that were printed
        self.failures: list[str] = []
        """Why trials failed, in the order in which they did."""
        self._bar: Progress | None = None
        if sys.stdout.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(highlight=False, markup=False))
            self._task = self._bar.add_task("trials", total=trials + repeats, completed=ended)

    def __getstate__(self) -> dict[str, Any]:
        """Without the bar: Tune pickles its callbacks at the start, and a terminal cannot be pickled."""
        return self.__dict__ | {"_bar": None}

    def __enter__(self) -> LiveProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def set_best(self, value: float, name: str) -> None:
        """Start with the best trial of earlier runs."""
        self._best = (value, name)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Print an epoch, or update the bar's text on a terminal."""
        epoch_result, name = from_tune(result), str(trial)
        if epoch_result.failure is not None:
            return
        lineage = epoch_result.lineage
        if len(lineage) > len(self._lineages.get(name, ())):
            self._say(f"trial {name}  continued from trial {lineage[-1]}")
        self._lineages[name] = lineage
        if epoch_result.note and epoch_result.note not in self._notes:
            self._say(f"trial {name}  {epoch_result.note}")
            self._notes.add(epoch_result.note)
        metric = self._objective.metric
        value = epoch_result.measures[metric]
        epoch = f"trial {name}  epoch {epoch_result.epoch}/{self._epochs_of(trial)}  {metric} {value:.4f}"
        if aside := _aside(trial):  # its value is no claim of the search
            if not self._bar:
                self._line(f"{epoch}  {aside}")
            return
        if self._objective.better(value, than=self._best[0] if self._best else None):
            self._best = (value, name)
        best = f"{self._best[0]:.4f} ({self._best[1]})" if self._best else "none"
        if self._incumbent and (expected := self._incumbent()):  # the best value may be luck
            best += f"  expected {expected.value:.4f} ({expected.trial_id})"
        if self._bar:
            self._bar.update(self._task, description=f"best {metric} {best}")
        else:
            self._line(f"{epoch}  best {best}")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print how a trial ended."""
        result = last_result(trial)
        if self._requeue.is_pausing(trial.trial_id):
            if result and str(trial) not in self._left:  # a later pause is no news
                self._leave(trial, f"paused after {counted(result.epoch, 'epoch')}")
            return
        if self._requeue.has(trial.trial_id):
            reason = (result.failure if result else None) or "its machines are not there"
            self._say(f"trial {trial}  requeued: {reason}")
        elif result and result.failure is not None:
            self._fail(trial, result.failure)
        elif result:
            state = "COMPLETE" if result.epoch >= self._epochs_of(trial) else "PRUNED"
            value = f"{self._objective.metric} {result.measures[self._objective.metric]:.4f}"
            self._leave(trial, f"{state} after {counted(result.epoch, 'epoch')}  {value}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print that a trial was lost."""
        if self._requeue.has(trial.trial_id):
            self._say(f"trial {trial}  requeued: {loss_message(trial)}")
        else:
            self._fail(trial, loss_message(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Print that a trial restarts."""
        start = "from its last checkpoint" if restart_checkpoint(trial) else "from the beginning"
        self._say(f"trial {trial}  restarts {start}, on a new gang: {loss_message(trial)}")

    def _epochs_of(self, trial: Any) -> int:
        spec = TrialSpec.from_tune(trial.config)
        return int(spec.config["train.epochs"]) if spec.screened else self._epochs

    def _fail(self, trial: Any, reason: str) -> None:
        self.failures.append(reason)
        self._leave(trial, f"FAIL: {reason}")

    def _leave(self, trial: Any, how: str) -> None:
        """Print how a trial left its slot, and count it the first time. A paused one may go on, and counts once."""
        count = aside = _aside(trial)
        if str(trial) not in self._left:
            self._left.add(str(trial))
            self._ended += not aside
            if self._bar and aside != SCREENED:
                self._bar.advance(self._task)
            elif not self._bar:
                count = aside or f"[{self._ended}/{self._trials}]"
        self._say(f"trial {trial}  {how}  {count}".rstrip())

    def _say(self, text: str) -> None:
        if self._bar:
            self._bar.console.print(text)
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        print_line(f"{time.monotonic() - self._started:7.1f} s  {text}")


def _aside(trial: Any) -> str:
    """What a trial of Tune is beside the full trials of the search, in words; empty for one of them."""
    spec = TrialSpec.from_tune(trial.config)
    if spec.screened:
        return SCREENED
    return "" if spec.repeat_of is None else f"trial {trial_name(spec.repeat_of)} anew"
