"""The study's record of each trial and of the search. `attributes.py` has the names, `trial_log.py` writes.

All files of an experiment are written from the study, and a killed search resumes from it. Optuna's own tools open it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from decouple_search.study import attributes

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
    """A trial's record in the study. The first objective decides which epoch is the best."""

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
        """COMPLETE, PRUNED or FAIL. A trial that an interrupted search left counts as PRUNED.

        A screened trial that trained all its epochs is COMPLETE, although Optuna has it as pruned.
        """
        if self.screen_epochs and self.ended and self.measured and self.epochs >= self.screen_epochs:
            return "COMPLETE"
        return RESULTS.get(self.frozen.state, "PRUNED")

    @property
    def ended(self) -> bool:
        """Whether the trial has ended."""
        return self.frozen.state.is_finished()

    @property
    def epochs(self) -> int:
        """Epochs that were reported."""
        return int(self._attribute(attributes.EPOCHS, 0))

    @property
    def seconds(self) -> float:
        """Seconds of training and evaluation."""
        return float(self._attribute(attributes.SECONDS, 0.0))

    @property
    def best_epoch(self) -> int | None:
        """The best epoch."""
        return self._attribute(attributes.BEST_EPOCH)  # type: ignore[no-any-return]

    @property
    def best_value(self) -> float | None:
        """The first objective in the best epoch."""
        return self._attribute(attributes.BEST_VALUE)  # type: ignore[no-any-return]

    @property
    def objectives(self) -> tuple[float, ...]:
        """All objectives in the best epoch; empty before the first epoch."""
        return tuple(self._attribute(attributes.OBJECTIVES, ()))

    @property
    def val_map(self) -> float | None:
        """val_map in the best epoch; None where there is no validation."""
        return self._attribute(attributes.VAL_MAP)  # type: ignore[no-any-return]

    @property
    def broken_images(self) -> int | None:
        """Number of images that were left out because they cannot be decoded; None without `data.broken` skip."""
        return self._attribute(attributes.BROKEN_IMAGES)  # type: ignore[no-any-return]

    @property
    def measured(self) -> bool:
        """Whether the trial has a value to be ranked by: it reported an epoch and did not fail."""
        return bool(self.objectives) and self.frozen.state != TrialState.FAIL

    @property
    def parameters(self) -> dict[str, Any]:
        """The searched parameters that trained the best epoch; pbt may have changed the proposed ones."""
        return dict(self._attribute(attributes.IN_FORCE, self.frozen.params))

    @property
    def lineage(self) -> tuple[str, ...]:
        """The trials and epochs that the weights came from (pbt), oldest first."""
        return tuple(self._attribute(attributes.LINEAGE, ()))

    @property
    def curve(self) -> dict[int, float]:
        """The first objective by epoch. Optuna keeps no intermediate values where there are several objectives."""
        kept: dict[str, float] = self._attribute(attributes.CURVE) or {}
        return {int(epoch): value for epoch, value in kept.items()} or self.frozen.intermediate_values

    @property
    def checkpoint(self) -> str | None:
        """The newest checkpoint's path when it was written."""
        return self._attribute(attributes.CHECKPOINT)  # type: ignore[no-any-return]

    @property
    def stopped_after(self) -> int | None:
        """The epoch after which the scheduler stopped the trial."""
        return self._attribute(attributes.STOPPED)  # type: ignore[no-any-return]

    @property
    def is_paused(self) -> bool:
        """Whether the trial waits to go on from its checkpoint."""
        return self.frozen.state == TrialState.RUNNING and self._attribute(attributes.PAUSED) is not None

    @property
    def is_training(self) -> bool:
        """Whether the trial is being trained."""
        return self.frozen.state == TrialState.RUNNING and not self.is_paused

    @property
    def failure(self) -> str | None:
        """Why the trial failed."""
        return self._attribute(attributes.FAILURE)  # type: ignore[no-any-return]

    @property
    def imported(self) -> bool:
        """Whether the trial is a copy from another study (`--warm-start`)."""
        return self._attribute(attributes.TAKEN_FROM) is not None

    @property
    def repeat_of(self) -> int | None:
        """The number of the finalist that this trial trains anew; None for a trial of the search itself."""
        return self._attribute(attributes.REPEAT_OF)  # type: ignore[no-any-return]

    @property
    def screen_epochs(self) -> int | None:
        """The epochs that this trial trains a head on feature maps of the frozen backbone; None for a full trial."""
        return self._attribute(attributes.SCREEN)  # type: ignore[no-any-return]

    @property
    def is_screened(self) -> bool:
        """Whether this trial trains only a head, on feature maps."""
        return self.screen_epochs is not None

    @property
    def seed(self) -> int | None:
        """The `train.seed` of a training of a finalist; None for that of the base configuration."""
        return self._attribute(attributes.SEED)  # type: ignore[no-any-return]

    @property
    def cannot_be_trained(self) -> bool:
        """Whether the trial failed because of its configuration, not because of a budget or a machine."""
        return self.frozen.state == TrialState.FAIL and self.failure not in (NO_EPOCH, WORKER_LOST)

    def _attribute(self, name: str, default: Any = None) -> Any:
        return self.frozen.user_attrs.get(name, default)


def all_trials(study: optuna.Study) -> list[TrialRecord]:
    """All trials of a study, with imported ones, start points that wait, screened ones, and trainings of finalists."""
    return [TrialRecord(trial) for trial in study.get_trials(deepcopy=False)]


def search_trials(study: optuna.Study) -> list[TrialRecord]:
    """The full trials of a search and its imported ones: all but screened trials and the trainings of finalists."""
    return [record for record in all_trials(study) if record.repeat_of is None and not record.is_screened]


def known_heads(study: optuna.Study) -> list[TrialRecord]:
    """The screened trials, with imported ones. Their values are never ranked with those of others."""
    return [record for record in all_trials(study) if record.is_screened]


def screened_trials(study: optuna.Study, states: Sequence[TrialState] | None = None) -> list[TrialRecord]:
    """The screened trials that this search started, in that order."""
    records = [record for record in known_heads(study) if not record.imported]
    return [record for record in records if states is None or record.frozen.state in states]


def repeat_trials(study: optuna.Study, states: Sequence[TrialState] | None = None) -> list[TrialRecord]:
    """The trainings of finalists, in the order in which they started."""
    records = [record for record in all_trials(study) if record.repeat_of is not None]
    return [record for record in records if states is None or record.frozen.state in states]


def own_trials(study: optuna.Study, states: Sequence[TrialState] | None = None) -> list[TrialRecord]:
    """The full trials that this search proposed, in that order, without the trainings of finalists."""
    records = search_trials(study)
    return [
        record
        for record in records
        if not record.imported
        and record.frozen.state != TrialState.WAITING
        and (states is None or record.frozen.state in states)
    ]


def ended_trials(study: optuna.Study) -> list[TrialRecord]:
    """The trials that have ended or pause; in an interrupted search also the running ones that reported an epoch."""
    waiting = StudyRecord(study).interrupted
    return [
        record for record in own_trials(study) if record.ended or record.is_paused or (waiting and record.epochs > 0)
    ]


def ended_names(study: optuna.Study) -> set[str]:
    """The names of the trials that have ended."""
    return {record.name for record in own_trials(study) if record.ended}


@dataclass(frozen=True)
class Fit:
    """A fit of the model's hyperparameters. It is kept, so that a resumed search proposes what it would have anyway."""

    observations: int
    """The number of observations at that time."""
    keys: list[str]
    """The searched keys."""
    theta: list[float]
    """The hyperparameters as a vector."""
    bend: float | None = None
    """Of the warp of values; None for no bend."""


@dataclass(frozen=True)
class Incumbent:
    """The trial whose configuration is expected to be the best if it is trained anew."""

    trial_id: str
    """The trial's id."""
    value: float
    """The expected value of the first objective at the last epoch."""


class StudyRecord:
    """The study's record of the search as a whole.

    Args:
        study: the search's study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    @property
    def runs(self) -> int | None:
        """How often the search was resumed; None before the study is complete."""
        return self._study.user_attrs.get(attributes.RUNS)

    @runs.setter
    def runs(self, count: int) -> None:
        self._study.set_user_attr(attributes.RUNS, count)

    @property
    def interrupted(self) -> bool:
        """Whether the search was interrupted, so that running trials wait until it is resumed."""
        return bool(self._study.user_attrs.get(attributes.INTERRUPTED))

    @interrupted.setter
    def interrupted(self, interrupted: bool) -> None:
        self._study.set_user_attr(attributes.INTERRUPTED, interrupted)

    @property
    def fit(self) -> Fit | None:
        """The last fit of the model's hyperparameters; None before the first."""
        kept = self._study.user_attrs.get(attributes.FIT)
        return None if kept is None else Fit(**kept)

    @fit.setter
    def fit(self, fit: Fit) -> None:
        self._study.set_user_attr(attributes.FIT, asdict(fit))

    @property
    def screen_fit(self) -> Fit | None:
        """The last fit of the hyperparameters of the model of screened trials; None before the first."""
        kept = self._study.user_attrs.get(attributes.SCREEN_FIT)
        return None if kept is None else Fit(**kept)

    @screen_fit.setter
    def screen_fit(self, fit: Fit) -> None:
        self._study.set_user_attr(attributes.SCREEN_FIT, asdict(fit))

    @property
    def incumbent(self) -> Incumbent | None:
        """The trial that is expected to be the best; None while the model does not know enough."""
        kept = self._study.user_attrs.get(attributes.INCUMBENT)
        return None if kept is None else Incumbent(**kept)

    @incumbent.setter
    def incumbent(self, incumbent: Incumbent | None) -> None:
        if incumbent != self.incumbent:
            self._study.set_user_attr(attributes.INCUMBENT, None if incumbent is None else asdict(incumbent))

    @property
    def wall_seconds(self) -> float:
        """Seconds that the search has taken in all its runs."""
        return float(self._study.user_attrs.get(attributes.WALL_SECONDS, 0.0))

    @property
    def slot_seconds(self) -> float:
        """Slots times seconds in all runs."""
        return float(self._study.user_attrs.get(attributes.SLOT_SECONDS, 0.0))

    def set_seconds(self, wall: float, slots: float) -> None:
        """Record the time of all runs."""
        self._study.set_user_attr(attributes.WALL_SECONDS, round(wall, 2))
        self._study.set_user_attr(attributes.SLOT_SECONDS, round(slots, 2))
