"""The policy for lost workers and machines: whether a loss counts, and on how many workers the trial continues.

Tune restarts a lost trial without limit. This policy decides through Tune's scheduler, which learns of a loss before
the trial is queued again.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from decouple_search.machines.capacity import Capacity, Resources
from decouple_search.machines.connection import CurrentLimits, alive, current_machines, dead_machines
from decouple_search.ray_tune.compat import (
    Trial,
    all_trials_of,
    is_pending,
    is_running,
    replace_config,
    replace_resources,
    stop_trial,
)
from decouple_search.ray_tune.ray_errors import Loss, loss_message, loss_of
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.resources import trial_resources, workers_of
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouplenet.command_line import print_line
from decouplenet.config import Config

NOTICE_SECONDS = 30.0
"""Seconds in which Ray notices that a silent machine is lost."""


class LossPolicy:
    """Decides about lost trials.

    Args:
        config: its scaling section has the needs of a trial.
        max_failures: losses that a trial survives. The loss of a whole machine does not count.
        requeue: where trials are marked that have to be proposed once more.
        limits: gives the machines that may be added.
        turns: whether trials take turns (pbt), so that running trials make way for waiting ones.
    """

    def __init__(
        self,
        config: Config,
        max_failures: int,
        requeue: Requeue,
        limits: CurrentLimits = lambda: None,
        *,
        turns: bool = False,
    ) -> None:
        self._config, self._max_failures, self._requeue = config, max_failures, requeue
        self._limits, self._turns = limits, turns
        self._waiting_since: dict[str, float] = {}  # by Tune's id, when a trial started to wait for its machines
        self._looked = 0.0
        self._counted: Counter[str] = Counter()
        self._unclear: defaultdict[str, list[int]] = defaultdict(list)  # machines that were dead at each unclear loss

    def lost(self, trial: Trial, trials: Sequence[Trial]) -> None:
        """Decide about a trial that was just lost, before it is queued again.

        Args:
            trial: the lost trial.
            trials: all trials.
        """
        dead, loss = dead_machines(), loss_of(trial)
        too_often = self._count(str(trial), loss, dead) > self._max_failures
        if is_pending(trial):  # Tune restarts only trials that had started
            if not too_often:
                self._requeue.mark(trial.trial_id)
            return
        self._waiting_since[trial.trial_id] = time.monotonic()
        if too_often:
            spec = TrialSpec.from_tune(trial.config).given_up_for(loss_message(trial))
            replace_config(trial, spec.to_tune())
        if self._may_shrink:
            since = self._waiting_since[trial.trial_id]
            while loss is Loss.UNCLEAR and dead == dead_machines() and time.monotonic() - since < NOTICE_SECONDS:
                time.sleep(NOTICE_SECONDS / 30)
            self._resize(trial, trials, alive())

    def added(self, trial: Trial, trials: Sequence[Trial]) -> None:
        """Decide on the workers of a trial that is new to Tune."""
        if trial.trial_id not in self._waiting_since:
            self._waiting_since[trial.trial_id] = time.monotonic()
            if self._may_shrink:
                self._resize(trial, trials, current_machines(self._config, self._limits())[1])

    def waiting_in_vain(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials that wait for machines that do not come. They are marked to be requeued with fewer workers."""
        if not self._may_shrink:
            return []
        now = time.monotonic()
        waiting = [
            trial
            for trial in trials
            if is_pending(trial) and now - self._waiting_since.get(trial.trial_id, now) > NOTICE_SECONDS
        ]
        if not waiting or now - self._looked < NOTICE_SECONDS:
            return []
        self._looked, machines = now, current_machines(self._config, self._limits())[1]
        vain = [trial for trial in waiting if self._workers_for(machines, trials, trial) < workers_of(trial)]
        for trial in vain:
            self._requeue.mark(trial.trial_id)
        return vain

    @property
    def _may_shrink(self) -> bool:
        return self._config.scaling.min_workers_per_trial is not None

    def _count(self, name: str, loss: Loss, dead: int) -> int:
        """The losses of a trial that count. An unclear loss counts unless a machine is lost before the next one."""
        settled = sum(before == dead for before in self._unclear[name])
        if loss is Loss.UNCLEAR:
            self._unclear[name].append(dead)
        elif loss is Loss.WORKER:
            self._counted[name] += 1
        return self._counted[name] + settled

    def _resize(self, trial: Trial, trials: Sequence[Trial], machines: Sequence[Resources]) -> None:
        workers = self._workers_for(machines, trials, trial)
        if workers != workers_of(trial):
            wanted = self._config.scaling.workers_per_trial
            print_line(f"trial {trial}  continues with {workers} of {wanted} workers")
            scaling = replace(self._config.scaling, workers_per_trial=workers, min_workers_per_trial=None)
            replace_resources(trial, trial_resources(scaling))

    def _workers_for(self, machines: Sequence[Resources], trials: Sequence[Trial], trial: Trial) -> int:
        scaling = self._config.scaling
        if scaling.min_workers_per_trial is None:
            return scaling.workers_per_trial
        others = [other for other in trials if other is not trial and is_running(other)]
        taken = 0 if self._turns else sum(workers_of(other) for other in others)
        return workers_that_fit(Capacity(scaling), machines, taken)


def workers_that_fit(capacity: Capacity, machines: Sequence[Resources], taken: int) -> int:
    """The number of workers that a trial continues with: as many as fit beside other trials, at least its minimum.

    Args:
        capacity: the needs of a trial; its scaling has a minimum of workers.
        machines: the machines that are there.
        taken: workers of other trials on these machines.
    """
    minimum, wanted = capacity.scaling.min_workers_per_trial or 1, capacity.scaling.workers_per_trial
    free = sum(capacity.workers_on(machine) for machine in machines) - taken
    for workers in range(min(wanted, free), minimum, -1):
        if capacity.with_workers(workers).trials(machines):
            return workers
    return minimum


class RecoveryMixin:
    """Mixed into one of Tune's schedulers: tells a `LossPolicy` of trials that are added, are lost, or wait."""

    loss_policy: LossPolicy

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Decide before the trial is queued again."""
        super().on_trial_error(tune_controller, trial)  # type: ignore[misc]
        self.loss_policy.lost(trial, all_trials_of(tune_controller))

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Decide before the trial is queued."""
        super().on_trial_add(tune_controller, trial)  # type: ignore[misc]
        self.loss_policy.added(trial, all_trials_of(tune_controller))

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Requeue trials that wait in vain."""
        for trial in self.loss_policy.waiting_in_vain(all_trials_of(tune_controller)):
            stop_trial(tune_controller, trial)
        return super().choose_trial_to_run(tune_controller)  # type: ignore[misc]
