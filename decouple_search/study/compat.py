"""Uses of Optuna that rely on more than its documentation promises: reopened trials, storages, a journal's records."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.storages import BaseStorage

RECORD_START = '{"op_code":'
"""The text that a record of a journal begins with."""


def reopen_trial(study: optuna.Study, number: int) -> optuna.Trial:
    """A running trial of a study, as `study.ask` gave it to an earlier process."""
    return optuna.trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage that a study was opened from."""
    return study._storage


def is_record(value: Any) -> bool:
    """Whether the value of a JSON text is a record of a journal: what is changed, and by which writer."""
    return isinstance(value, dict) and type(value.get("op_code")) is int and isinstance(value.get("worker_id"), str)


def writer_of(record: dict[str, Any]) -> str:
    """The process that wrote a record of a journal, or rather the storage that it had opened."""
    writer: str = record["worker_id"].rpartition("-")[0]  # a thread's number follows
    return writer
