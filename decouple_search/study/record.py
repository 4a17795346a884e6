"""What the study records of each trial and of the search: the only module that knows the names of the attributes.

All files of an experiment are written from the study, and a killed search resumes from it. Optuna's own tools open it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.space.objective import Objective
from decouple_search.study.compat import reopen_trial

NO_EPOCH = "stopped before its first epoch ended"
"""The failure of a trial that a budget ended before it had a value."""
WORKER_LOST = "a worker was lost"
"""The failure of a trial that lost workers too often. It says nothing of the configuration."""
RESULTS = {TrialState.COMPLETE: "COMPLETE", TrialState.PRUNED: "PRUNED", TrialState.FAIL: "FAIL"}
"""The `state` of an ended trial in the leaderboard."""


def trial_name(number: int) -> str:
    """A trial's id in files and output, from its number in the study."""
    return f"{number:04d}"


@dataclass(frozen=True)
class TrialRecord:
    """What the study knows of a trial. Attributes of the trial's best epoch are by the first objective."""

    frozen: FrozenTrial
    """Optuna's record."""

    @property
    def number(self) -> int:
        """The trial's number in the study."""
        return self.frozen.number

    @property
    def name(self) -> str:
        """The trial's id in files and output."""
        return trial_name(self.frozen.number)

    @property
    def result(self) -> str:
        """COMPLETE, PRUNED or FAIL. A trial that an interrupted search left counts as PRUNED."""
        return RESULTS.get(self.frozen.state, "PRUNED")

    @property
    def ended(self) -> bool:
        """Whether the trial has ended."""
        return self.frozen.state.is_finished()

    @property
    def epochs(self) -> int:
        """Epochs that were reported."""
        return int(self._attribute("epochs", 0))

    @property
    def seconds(self) -> float:
        """Seconds of training and evaluation."""
        return float(self._attribute("seconds", 0.0))

    @property
    def best_epoch(self) -> int | None:
        """The best epoch."""
        return self._attribute("best_epoch")  # type: ignore[no-any-return]

    @property
    def best_value(self) -> float | None:
        """The first objective in the best epoch."""
        return self._attribute("best_value")  # type: ignore[no-any-return]

    @property
    def objectives(self) -> tuple[float, ...]:
        """All objectives in the best epoch; empty before the first epoch."""
        return tuple(self._attribute("objectives", ()))

    @property
    def val_map(self) -> float | None:
        """val_map in the best epoch; None where there is no validation."""
        return self._attribute("val_map")  # type: ignore[no-any-return]

    @property
    def measured(self) -> bool:
        """Whether the trial has a value to be ranked by: it reported an epoch and did not fail."""
        return bool(self.objectives) and self.frozen.state != TrialState.FAIL

    @property
    def parameters(self) -> dict[str, Any]:
        """The searched parameters that trained the best epoch; pbt may have changed the proposed ones."""
        return dict(self._attribute("in_force", self.frozen.params))

    @property
    def lineage(self) -> tuple[str, ...]:
        """The trials and epochs that the weights came from (pbt), oldest first."""
        return tuple(self._attribute("lineage", ()))

    @property
    def curve(self) -> dict[int, float]:
        """The first objective by epoch. Optuna keeps no intermediate values where there are several objectives."""
        kept: dict[str, float] = self._attribute("curve") or {}
        return {int(epoch): value for epoch, value in kept.items()} or self.frozen.intermediate_values

    @property
    def checkpoint(self) -> str | None:
        """The newest checkpoint's path when it was written."""
        return self._attribute("checkpoint")  # type: ignore[no-any-return]

    @property
    def stopped_after(self) -> int | None:
        """The epoch after which the scheduler stopped the trial."""
        return self._attribute("stopped")  # type: ignore[no-any-return]

    @property
    def failure(self) -> str | None:
        """Why the trial failed."""
        return self._attribute("failure")  # type: ignore[no-any-return]

    @property
    def imported(self) -> bool:
        """Whether the trial is a copy from another study (`--warm-start`)."""
        return self._attribute("taken_from") is not None

    @property
    def cannot_be_trained(self) -> bool:
        """Whether the trial failed because of its configuration, not because of a budget or a machine."""
        return self.frozen.state == TrialState.FAIL and self.failure not in (NO_EPOCH, WORKER_LOST)

    def _attribute(self, name: str, default: Any = None) -> Any:
        return self.frozen.user_attrs.get(name, default)


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
        """What the study knows of the trial now."""
        return TrialRecord(self._study.get_trials(deepcopy=False)[self.trial.number])

    def epoch(self, result: EpochResult, objectives: Sequence[Objective], parameters: Mapping[str, Any] | None) -> None:
        """Record an epoch. An epoch that was trained before, until a worker was lost, counts once.

        Args:
            result: a result that has all objectives.
            objectives: the search's objectives.
            parameters: the searched parameters that trained the epoch; None for the proposed ones.
        """
        known, first, set_attribute = self.record, objectives[0], self.trial.set_user_attr
        value, is_new = result.measures[first.metric], result.epoch > known.epochs
        if is_new:
            self._report(known, result.epoch, value, several=len(objectives) > 1)
        if result.lineage and result.lineage != known.lineage:
            set_attribute("lineage", list(result.lineage))
        size = result.measures.get("parameters")
        if size and size != known.frozen.user_attrs.get("parameters"):  # pbt gives a trial its donor's network
            set_attribute("parameters", size)
        if first.better(value, than=known.best_value):
            for name in ("val_map", "images_per_second"):
                if name in result.measures:
                    set_attribute(name, result.measures[name])
            set_attribute("objectives", [result.measures[metric] for metric, _ in objectives])
            set_attribute("best_value", value)
            set_attribute("best_epoch", result.epoch)
            if parameters is not None and parameters != known.frozen.params:
                set_attribute("in_force", dict(parameters))
        if is_new:  # last, so that an epoch that counts is recorded in full
            set_attribute("seconds", round(known.seconds + result.seconds, 3))
            set_attribute("epochs", result.epoch)

    def end(self, failure: str | None, epochs: int) -> None:
        """Record how the trial ended: COMPLETE after all epochs, PRUNED before, FAIL with a failure or no epoch.

        Args:
            failure: why the trial failed, if it did.
            epochs: the epochs of a full training.
        """
        known = self.record
        if failure or not known.epochs:
            self.trial.set_user_attr("failure", failure or NO_EPOCH)
            self._study.tell(self.trial, state=TrialState.FAIL)
        elif known.epochs < epochs:
            self._study.tell(self.trial, state=TrialState.PRUNED)
        else:
            self._study.tell(self.trial, list(known.objectives))

    def _report(self, known: TrialRecord, epoch: int, value: float, *, several: bool) -> None:
        if several:  # Optuna takes no intermediate values then
            self.trial.set_user_attr("curve", {str(e): v for e, v in (known.curve | {epoch: value}).items()})
        else:
            self.trial.report(value, epoch)


def note_stop(study: optuna.Study, number: int, epoch: int) -> None:
    """Record the epoch after which the scheduler stops a trial."""
    _note(study, number, "stopped", epoch)


def note_checkpoint(study: optuna.Study, number: int, path: str | None) -> None:
    """Record a trial's newest checkpoint; None if it has none."""
    _note(study, number, "checkpoint", path)


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
        user_attrs={**trial.user_attrs, "taken_from": origin},
    )


def all_trials(study: optuna.Study) -> list[TrialRecord]:
    """All trials of a study, with imported ones and start points that wait."""
    return [TrialRecord(trial) for trial in study.get_trials(deepcopy=False)]


def own_trials(study: optuna.Study, states: Sequence[TrialState] | None = None) -> list[TrialRecord]:
    """The trials that this search proposed, in that order."""
    records = all_trials(study)
    return [
        record
        for record in records
        if not record.imported
        and record.frozen.state != TrialState.WAITING
        and (states is None or record.frozen.state in states)
    ]


def ended_trials(study: optuna.Study) -> list[TrialRecord]:
    """The trials that have ended; in an interrupted search also the running ones that reported an epoch."""
    waiting = StudyRecord(study).interrupted
    return [record for record in own_trials(study) if record.ended or (waiting and record.epochs > 0)]


class StudyRecord:
    """What the study knows of the search as a whole.

    Args:
        study: the search's study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    @property
    def runs(self) -> int | None:
        """How often the search was resumed; None before the study is complete."""
        return self._study.user_attrs.get("runs")

    @runs.setter
    def runs(self, count: int) -> None:
        self._study.set_user_attr("runs", count)

    @property
    def interrupted(self) -> bool:
        """Whether the search was interrupted, so that running trials wait until it is resumed."""
        return bool(self._study.user_attrs.get("interrupted"))

    @interrupted.setter
    def interrupted(self, interrupted: bool) -> None:
        self._study.set_user_attr("interrupted", interrupted)

    @property
    def wall_seconds(self) -> float:
        """Seconds that the search has taken in all its runs."""
        return float(self._study.user_attrs.get("wall_seconds", 0.0))

    @property
    def slot_seconds(self) -> float:
        """Slots times seconds in all runs."""
        return float(self._study.user_attrs.get("slot_seconds", 0.0))

    def set_seconds(self, wall: float, slots: float) -> None:
        """Record the time of all runs."""
        self._study.set_user_attr("wall_seconds", round(wall, 2))
        self._study.set_user_attr("slot_seconds", round(slots, 2))
