"""What a search expects of each of its trials at the last epoch, by the model over all epochs of all trials."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import numpy as np

from decouple_search.samplers.study_model import StudyModel
from decouple_search.study.record import TrialRecord, ended_trials, search_trials

if TYPE_CHECKING:
    from optuna import Study

    from decouple_search.space.space import Space

MIN_TRIALS = 4
"""Trials with values that the model needs."""
LAST_EPOCHS = 3
"""Epochs at a curve's end whose mean stands for the expected value where there is no model."""


def expected_values(study: Study, space: Space, epochs: int) -> dict[int, float]:
    """The expected value of the first objective at the last epoch, less its standard deviation, by the trial's number.

    It is that of another training of the same configuration: the model smooths the noise of single epochs, learns from
    neighbouring configurations, and leaves out what was peculiar to this training. Where the model cannot be fitted
    (fewer than `MIN_TRIALS` trials with values, several objectives), the mean of the last `LAST_EPOCHS` epochs of the
    trial's own curve stands for it, or the best value if there is no curve.

    The standard deviation is taken off, because the largest of many uncertain expectations is mostly a wrong one: a
    configuration with one epoch would win over those that were trained in full.

    Args:
        study: the search's study.
        space: the searched space.
        epochs: the epochs of a full training.

    Returns:
        The values of the search's own trials that have ended with a value and did not fail.
    """
    trials = [trial for trial in ended_trials(study) if trial.measured]
    if len(space.objectives) == 1 and len(trials) >= MIN_TRIALS:
        model, utility = StudyModel(study, search_trials(study), space, epochs), space.objective.utility
        try:
            expected = [model.expect_new(trial.frozen.params, [epochs]) for trial in trials]
            bounds = [model.restored(mean[0] - deviation[0]) for mean, deviation in expected]
            return {trial.number: utility(bound) for trial, bound in zip(trials, bounds, strict=True)}
        except (np.linalg.LinAlgError, ValueError):  # all trials have the same value, or parameters
            pass
    return {trial.number: _curve_end(trial) for trial in trials}


def _curve_end(trial: TrialRecord) -> float:
    last = sorted(trial.curve.items())[-LAST_EPOCHS:]
    return statistics.fmean(value for _, value in last) if last else trial.objectives[0]
