"""Tune's scheduler of a search, made from the pure `stopping.scheduler`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna import Study
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.compat import all_trials_of, is_pending
from decouple_search.ray_tune.population import Population
from decouple_search.ray_tune.recovery import LossPolicy, RecoveryMixin
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import from_tune
from decouple_search.samplers.promotion import Promotions
from decouple_search.space.space import Space
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.study.record import TrialRecord, own_trials, screened_trials
from decouple_search.study.trial_log import note_stop


def _ignore(trial_id: str, result: EpochResult) -> None:
    """Record nothing."""


@dataclass(frozen=True, kw_only=True)
class SchedulerContext:
    """The parts of a search that its scheduler uses."""

    space: Space
    """The searched space."""
    config: Mapping[str, Any]
    """The complete base configuration, dotted."""
    study: Study
    """The study. Its curves stop trials, and bring back pbt's population."""
    seed: int
    """The seed of pbt's choices."""
    slots: Callable[[], int]
    """Gives the number of trials that can run at the same time now."""
    loss_policy: LossPolicy
    """Decides about lost trials."""
    filesystem: Any = None
    """pyarrow's file system that checkpoints are in; None for this machine's."""
    requeue: Requeue
    """Where trials are marked that pause."""
    promotions: Promotions | None = None
    """Chooses between new and paused trials, where trials pause."""
    record: Callable[[str, EpochResult], None] = _ignore
    """Records an epoch of a trial, by Tune's id, in the study."""


def tune_scheduler(scheduler: Scheduler, context: SchedulerContext) -> TrialScheduler:
    """Tune's scheduler for a search's scheduler."""
    if scheduler.name == "none":
        return PlainScheduler(context.loss_policy)
    if scheduler.name == "pbt":
        return Population(
            scheduler.interval_epochs,
            context.space,
            context.config,
            study=context.study,
            seed=context.seed,
            slots=context.slots,
            loss_policy=context.loss_policy,
            filesystem=context.filesystem,
        )
    if scheduler.name == "promotion":
        return PromotionScheduler(scheduler, context)
    return StoppingScheduler(scheduler, context)


class PlainScheduler(RecoveryMixin, FIFOScheduler):
    """Stops no trial."""

    def __init__(self, loss_policy: LossPolicy) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.loss_policy = loss_policy


class StoppingScheduler(RecoveryMixin, FIFOScheduler):
    """Stops trials by a rule over the study's curves.

    Each epoch of a trial is judged once. An epoch that the study had at the start of this run was judged before, and a
    trial that lost a worker trains some epochs a second time. The trainings of finalists are never stopped.

    Args:
        scheduler: the rule and its options.
        context: the parts of the search that it uses.
    """

    def __init__(self, scheduler: Scheduler, context: SchedulerContext) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.loss_policy = context.loss_policy
        self._scheduler, self._context = scheduler, context
        self._judged = {record.number: record.epochs for record in own_trials(context.study)}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP or CONTINUE after an epoch."""
        epoch_result, spec = from_tune(result), TrialSpec.from_tune(trial.config)
        number, epoch = spec.number, epoch_result.epoch
        value = epoch_result.measures.get(self._context.space.metric, math.nan)
        if spec.screened:
            return _judged_screened(self._scheduler, self._context, spec, epoch, value)
        if number is None or spec.repeat_of is not None:
            return str(TrialScheduler.CONTINUE)
        if not math.isfinite(value) or epoch <= self._judged.get(number, 0):
            return str(TrialScheduler.CONTINUE)
        self._judged[number] = epoch
        return _judged(self._scheduler, self._context, own_trials(self._context.study), spec, epoch, value)


class PromotionScheduler(RecoveryMixin, FIFOScheduler):
    """Pauses a trial when something else earns its slot more: a new trial, or another paused one.

    The trial goes on later as another trial of Tune, from its checkpoint, on whichever gang is free. So the searcher
    alone decides what starts. The trainings of finalists are never paused.

    Args:
        scheduler: when trials may be paused.
        context: the parts of the search that it uses; it has `promotions`.
    """

    def __init__(self, scheduler: Scheduler, context: SchedulerContext) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.loss_policy = context.loss_policy
        self._scheduler, self._context = scheduler, context
        self._until: dict[str, int] = {}  # by Tune's id, the epoch after which the trial may be paused

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Forget a pause: Tune restarts the trial."""
        self._context.requeue.keep(trial.trial_id)
        super().on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP, so that the trial is paused, or CONTINUE, after an epoch."""
        context, epoch_result, spec = self._context, from_tune(result), TrialSpec.from_tune(trial.config)
        number, epoch, epochs = spec.number, epoch_result.epoch, spec.config["train.epochs"]
        value = epoch_result.measures.get(context.space.metric, math.nan)
        if spec.screened:
            return _judged_screened(self._scheduler, context, spec, epoch, value)
        if number is None or spec.repeat_of is not None or context.promotions is None:
            return str(TrialScheduler.CONTINUE)
        if not math.isfinite(value):
            return str(TrialScheduler.CONTINUE)
        until = self._until.setdefault(trial.trial_id, self._scheduler.next_pause(epoch - 1, epochs))
        if epoch < until or epoch >= epochs:
            return str(TrialScheduler.CONTINUE)
        context.record(trial.trial_id, epoch_result)  # before the choice, which reads the study
        # While a slot's gang starts, the trial that waits for it would take the paused trial's gang, and its own gang
        # would be ended during its start.
        waiting = any(map(is_pending, all_trials_of(tune_controller)))
        promotions = context.promotions
        if promotions.affords(number) if waiting else promotions.next(leaving=number) == number:
            self._until[trial.trial_id] = self._scheduler.next_pause(epoch, epochs)
            return str(TrialScheduler.CONTINUE)
        context.requeue.pause(trial.trial_id)
        return str(TrialScheduler.STOP)


def _judged_screened(scheduler: Scheduler, context: SchedulerContext, spec: TrialSpec, epoch: int, value: float) -> str:
    """STOP or CONTINUE for a screened trial: it is stopped beside other screened ones, and never paused."""
    if not math.isfinite(value):
        return str(TrialScheduler.CONTINUE)
    return _judged(scheduler, context, screened_trials(context.study), spec, epoch, value)


def _judged(
    scheduler: Scheduler,
    context: SchedulerContext,
    trials: Sequence[TrialRecord],
    spec: TrialSpec,
    epoch: int,
    value: float,
) -> str:
    """STOP or CONTINUE by the curves of trials; a stop is noted in the study."""
    number, epochs, objective = spec.number, spec.config["train.epochs"], context.space.objective
    if number is None or not scheduler.compares(epoch, epochs):  # before all curves are read
        return str(TrialScheduler.CONTINUE)
    curves = {record.number: {e: objective.utility(v) for e, v in record.curve.items()} for record in trials}
    curves[number] = curves.get(number, {}) | {epoch: objective.utility(value)}
    stops = scheduler.stops(number, curves, epoch, epochs)
    if stops:
        note_stop(context.study, number, epoch)
    return str(TrialScheduler.STOP if stops else TrialScheduler.CONTINUE)
