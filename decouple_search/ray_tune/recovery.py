"""When a worker or a machine of a trial is lost: whether it counts, and on how many workers the trial goes on.

Tune starts a lost trial again as often as it must; what is decided here reaches it through its scheduler, which it
tells of each loss before the trial is queued again.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from decouple_search.machines.connection import Growth, alive, dead_machines, machines
from decouple_search.plan import fit, fitting
from decouple_search.ray_tune.callbacks.progress import error_text, lost
from decouple_search.ray_tune.trainable import GIVEN_UP
from decouple_search.ray_tune.tuner import trial_resources
from decouplenet.command_line import print_line
from decouplenet.config import Config

MACHINE = ("node has died", "node was terminated", "preempted")
"""What Ray says where a whole machine is lost."""
ACTOR = ("ActorDiedError", "ActorUnavailableError")
WORKER = "its worker process has died"
"""What it says where only a worker is; any other loss of an actor may be that of a machine that has gone silent."""
NOTICE = 30.0
"""Seconds in which Ray notices that a silent machine is lost."""


class Recovery:
    """Decides about lost trials.

    Args:
        config: what a trial needs.
        max_failures: losses that a trial outlives; those of a whole machine do not count.
        growth: the machines that may be added.
        turns: whether trials take turns (pbt), so that those that run leave room for those that wait.
    """

    def __init__(
        self, config: Config, max_failures: int, growth: Growth = lambda: None, *, turns: bool = False
    ) -> None:
        self._config, self._max_failures, self._growth, self._turns = config, max_failures, growth, turns
        self._since: dict[str, float] = {}  # when a trial began to wait for its machines
        self._looked = 0.0
        self._counted: Counter[str] = Counter()
        self._unclear: defaultdict[str, list[int]] = defaultdict(list)  # machines that were dead at the time
        self.again: set[str] = set()
        """Tune's ids of trials that ended before they had started, and that begin again under another."""

    def __call__(self, trial: Any, trials: Sequence[Any]) -> None:
        """Decide about a trial that was just lost, before it is queued again.

        Args:
            trial: Tune's.
            trials: all of Tune's.
        """
        name, text, dead = str(trial), error_text(trial), dead_machines()
        # An unclear loss counts where no machine is known to be lost until the next one.
        known = sum(before == dead for before in self._unclear[name])
        clear = any(sign in text for sign in MACHINE)
        unclear = not clear and any(error in text for error in ACTOR) and WORKER not in text
        if unclear:
            self._unclear[name].append(dead)
        elif not clear:
            self._counted[name] += 1
        enough = self._counted[name] + known > self._max_failures
        if trial.status == trial.PENDING:  # Tune starts only those again that had started
            if not enough:
                self.again.add(trial.trial_id)
            return
        self._since[trial.trial_id] = time.monotonic()
        if enough:
            trial.set_config({**trial.config, GIVEN_UP: lost(trial)})
        if self._config.scaling.min_workers_per_trial is not None:
            while unclear and dead == dead_machines() and time.monotonic() - self._since[trial.trial_id] < NOTICE:
                time.sleep(NOTICE / 30)
            self._resize(trial, trials, alive())

    def added(self, trial: Any, trials: Sequence[Any]) -> None:
        """Decide on the workers of a trial that is new to Tune."""
        if trial.trial_id not in self._since:
            self._since[trial.trial_id] = time.monotonic()
            if self._config.scaling.min_workers_per_trial is not None:
                self._resize(trial, trials, machines(self._config, self._growth())[1])

    def waiting(self, trials: Sequence[Any]) -> list[Any]:
        """The trials that wait in vain for the machines that they were to have, and begin again with fewer."""
        if self._config.scaling.min_workers_per_trial is None:
            return []
        now = time.monotonic()
        waiting = [t for t in trials if t.status == t.PENDING and now - self._since.get(t.trial_id, now) > NOTICE]
        if not waiting or now - self._looked < NOTICE:
            return []
        self._looked, there = now, machines(self._config, self._growth())[1]
        vain = [trial for trial in waiting if self._fitting(there, trials, trial) < workers_of(trial)]
        self.again |= {trial.trial_id for trial in vain}
        return vain

    def _resize(self, trial: Any, trials: Sequence[Any], there: Sequence[Mapping[str, float]]) -> None:
        most = self._config.scaling.workers_per_trial
        workers = self._fitting(there, trials, trial)
        if workers != workers_of(trial):
            print_line(f"trial {trial}  goes on with {workers} of {most} workers")
            trial.update_resources(trial_resources(replace(self._config.scaling, workers_per_trial=workers)))

    def _fitting(self, there: Sequence[Mapping[str, float]], trials: Sequence[Any], trial: Any) -> int:
        most, least = self._config.scaling.workers_per_trial, self._config.scaling.min_workers_per_trial
        others = [other for other in trials if other is not trial and other.status == other.RUNNING]
        taken = 0 if self._turns else sum(workers_of(other) for other in others)
        return most if least is None else workers_for(self._config, there, least, most, taken)


def workers_for(config: Config, machines: Sequence[Mapping[str, float]], least: int, most: int, taken: int) -> int:
    """How many workers a trial goes on with: as many as fit beside those of others, if that is enough.

    Args:
        config: what a worker needs.
        machines: `CPU` and `GPU` of each machine.
        least: workers that are enough.
        most: workers that are wanted.
        taken: workers of other trials on the machines.
    """
    free = sum(fit(machine, config) for machine in machines) - taken
    for workers in range(min(most, free), least, -1):
        if fitting(replace(config, scaling=replace(config.scaling, workers_per_trial=workers)), machines):
            return workers
    return least


def workers_of(trial: Any) -> int:
    """Workers that a trial of Tune has or waits for."""
    return sum(bool(bundle) for bundle in trial.placement_group_factory.bundles)


class Recovers:
    """Mixed into a scheduler of Tune: tells a `Recovery` of trials that are added, lost, or wait."""

    recovery: Recovery

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Decide before the trial is queued again."""
        super().on_trial_error(tune_controller, trial)  # type: ignore[misc]
        self.recovery(trial, tune_controller.get_trials())

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Decide before the trial is queued."""
        super().on_trial_add(tune_controller, trial)  # type: ignore[misc]
        self.recovery.added(trial, tune_controller.get_trials())

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Let trials that wait in vain begin again with fewer workers."""
        for trial in self.recovery.waiting(tune_controller.get_trials()):
            tune_controller.request_stop_trial(trial)
        return super().choose_trial_to_run(tune_controller)  # type: ignore[misc]
