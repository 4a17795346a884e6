"""What a search expects of each of its trials at the last epoch, by the model over all epochs of all trials.

It is the expectation of another training of the same configuration: the model smooths the noise of single epochs,
learns from neighbouring configurations, and leaves out what was peculiar to this training.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from decouple_search.samplers.study_model import STARTUP_DEPTH, StudyModel
from decouple_search.study.record import Incumbent, TrialRecord, ended_trials, own_trials, search_trials

if TYPE_CHECKING:
    from optuna import Study

    from decouple_search.space.space import Space

MIN_TRIALS = 4
"""Trials with values that the model needs."""
LAST_EPOCHS = 3
"""Epochs at a curve's end whose mean stands for the expected value where there is no model."""


@dataclass(frozen=True)
class Expected:
    """What another training of a trial's configuration is expected to reach, in the unit of the first objective."""

    value: float
    """The expected value at the last epoch."""
    bound: float
    """The expected value less its standard deviation, as more is better; more than `value` where less is better.

    Trials are compared by it, because the largest of many uncertain expectations is mostly a wrong one: a configuration
    with one epoch would win over those that were trained in full.
    """


def expected_values(study: Study, space: Space, epochs: int) -> dict[int, float]:
    """The bounds (see `Expected`) of the first objective at the last epoch, by the trial's number.

    Where the model cannot be fitted (fewer than `MIN_TRIALS` trials with values, several objectives), the mean of the
    last `LAST_EPOCHS` epochs of the trial's own curve stands for it, or the best value if there is no curve.

    Args:
        study: the search's study.
        space: the searched space.
        epochs: the epochs of a full training.

    Returns:
        The values of the search's own trials that have ended with a value and did not fail.
    """
    trials = [trial for trial in ended_trials(study) if trial.measured]
    model = StudyModel(study, search_trials(study), space, epochs, ())
    if len(trials) >= MIN_TRIALS and (expected := _by_model(model, trials, space)):
        return {number: each.bound for number, each in expected.items()}
    return {trial.number: _curve_end(trial) for trial in trials}


def incumbent(study: Study, space: Space, epochs: int) -> Incumbent | None:
    """The best trial by its bound (see `Expected`), of those that are at least half through.

    A best value of a search is its luckiest one, too. But what the model expects after an epoch or two is mostly wrong.
    None until the model knows how curves go on, and where it cannot be fitted.

    Args:
        study: the search's study.
        space: the searched space.
        epochs: the epochs of a full training.
    """
    far = STARTUP_DEPTH * epochs
    trials = {trial.number: trial for trial in own_trials(study) if trial.measured and trial.epochs >= far}
    model = StudyModel(study, search_trials(study), space, epochs, ())
    if not model.informed or not (expected := _by_model(model, list(trials.values()), space)):
        return None
    best = max(expected, key=lambda number: (space.objective.utility(expected[number].bound), -number))
    return Incumbent(trials[best].name, expected[best].value)


def _by_model(model: StudyModel, trials: Sequence[TrialRecord], space: Space) -> dict[int, Expected]:
    """What the model expects of trials, by number; empty if it cannot be fitted."""
    if len(space.objectives) > 1 or not trials:
        return {}
    numbers, utility = [trial.number for trial in trials], space.objective.utility
    try:
        means, deviations = model.expect_anew(numbers)
    except (np.linalg.LinAlgError, ValueError):  # all trials have the same value, or parameters
        return {}
    return {
        number: Expected(utility(model.restored(mean)), utility(model.restored(mean - deviation)))
        for number, mean, deviation in zip(numbers, means, deviations, strict=True)
    }


def _curve_end(trial: TrialRecord) -> float:
    last = sorted(trial.curve.items())[-LAST_EPOCHS:]
    return statistics.fmean(value for _, value in last) if last else trial.objectives[0]
