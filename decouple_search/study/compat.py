"""Uses of Optuna that rely on more than its documentation promises: reopened trials, a study's storage."""

from __future__ import annotations

import optuna
from optuna.storages import BaseStorage


def reopen_trial(study: optuna.Study, number: int) -> optuna.Trial:
    """A running trial of a study, as `study.ask` gave it to an earlier process."""
    return optuna.trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage that a study was opened from."""
    return study._storage
