"""Writes into the study what happens to a trial. `record.py` reads it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.space.objective import Objective
from decouple_search.study import attributes
from decouple_search.study.compat import reopen_trial
from decouple_search.study.record import NO_EPOCH, TrialRecord


class TrialLog:
    """Writes what happens to a running trial into the study.

    Args:
        study: the search's study.
        trial: the trial, as `study.ask` or `reopen_trial` gave it.
    """

    def __init__(self, study: optuna.Study, trial: optuna.Trial) -> None:
        self._study, self.trial = study, trial

    @property
    def record(self) -> TrialRecord:
        """The trial's record in the study at this moment."""
        return TrialRecord(self._study.get_trials(deepcopy=False)[self.trial.number])

    def epoch(self, result: EpochResult, objectives: Sequence[Objective], parameters: Mapping[str, Any] | None) -> None:
        """Record an epoch. An epoch that was trained before, until a worker was lost, counts once.

        Args:
            result: a result that has all objectives.
            objectives: the search's objectives.
            parameters: the searched parameters that trained the epoch; None for the proposed ones.
        """
        before, first, set_attribute = self.record, objectives[0], self.trial.set_user_attr
        value, is_new = result.measures[first.metric], result.epoch > before.epochs
        if is_new:
            self._report(before, result.epoch, value, several=len(objectives) > 1)
        if result.lineage and result.lineage != before.lineage:
            set_attribute(attributes.LINEAGE, list(result.lineage))
        size = result.measures.get("parameters")
        if size and size != before.frozen.user_attrs.get(
            attributes.PARAMETERS
        ):  # pbt gives a trial its donor's network
            set_attribute(attributes.PARAMETERS, size)
        if first.better(value, than=before.best_value):
            for name in attributes.KEPT_MEASURES:
                if name in result.measures:
                    set_attribute(name, result.measures[name])
            set_attribute(attributes.OBJECTIVES, [result.measures[metric] for metric, _ in objectives])
            set_attribute(attributes.BEST_VALUE, value)
            set_attribute(attributes.BEST_EPOCH, result.epoch)
            if parameters is not None and parameters != before.frozen.params:
                set_attribute(attributes.IN_FORCE, dict(parameters))
        if is_new:  # last, so that an epoch that counts is recorded in full
            set_attribute(attributes.SECONDS, round(before.seconds + result.seconds, 3))
            set_attribute(attributes.EPOCHS, result.epoch)

    def end(self, failure: str | None, epochs: int) -> None:
        """Record how the trial ended: COMPLETE after all epochs, PRUNED before, FAIL with a failure or no epoch.

        Args:
            failure: why the trial failed, if it did.
            epochs: the epochs of a full training.
        """
        before = self.record
        if failure or not before.epochs:
            self.trial.set_user_attr(attributes.FAILURE, failure or NO_EPOCH)
            self._study.tell(self.trial, state=TrialState.FAIL)
        elif before.epochs < epochs or before.is_screened:  # a screened value is never a final one
            self._study.tell(self.trial, state=TrialState.PRUNED)
        else:
            self._study.tell(self.trial, list(before.objectives))

    def _report(self, before: TrialRecord, epoch: int, value: float, *, several: bool) -> None:
        if several:  # Optuna takes no intermediate values then
            self.trial.set_user_attr(attributes.CURVE, {str(e): v for e, v in (before.curve | {epoch: value}).items()})
        else:
            self.trial.report(value, epoch)


def note_stop(study: optuna.Study, number: int, epoch: int) -> None:
    """Record the epoch after which the scheduler stops a trial."""
    _note(study, number, attributes.STOPPED, epoch)


def note_pause(study: optuna.Study, number: int, epoch: int | None) -> None:
    """Record the epoch after which a trial is paused; None when it goes on."""
    _note(study, number, attributes.PAUSED, epoch)


def note_checkpoint(study: optuna.Study, number: int, path: str | None) -> None:
    """Record a trial's newest checkpoint; None if it has none."""
    _note(study, number, attributes.CHECKPOINT, path)


def _note(study: optuna.Study, number: int, name: str, value: Any) -> None:
    if not study.get_trials(deepcopy=False)[number].state.is_finished():  # Optuna refuses it for an ended trial
        reopen_trial(study, number).set_user_attr(name, value)


def copy_of(
    trial: FrozenTrial, parameters: dict[str, Any], distributions: dict[str, BaseDistribution], origin: str
) -> FrozenTrial:
    """A copy of another study's trial, marked with its origin, to add to a study."""
    complete = trial.state == TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values if complete else None,
        params=parameters,
        distributions=distributions,
        intermediate_values=trial.intermediate_values,
        user_attrs={**trial.user_attrs, attributes.TAKEN_FROM: origin},
    )
