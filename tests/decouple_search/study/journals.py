"""Journals of small studies, made through Optuna alone, and what Optuna reads from a journal."""

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from decouple_search.study.optuna_storage import STUDY_NAME


def optuna_storage(file):
    """A journal as Optuna opens it."""
    return JournalStorage(JournalFileBackend(str(file)))


def write_journal(file, ends=(TrialState.COMPLETE,), *, reports=2):
    """Write the journal of a study.

    Args:
        file: the journal.
        ends: how each trial ends; RUNNING for one that does not.
        reports: the epochs of each trial.

    Returns:
        The lines of the file, each with its end.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=optuna_storage(file),
        study_name=STUDY_NAME,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(0),
    )
    study.set_user_attr("runs", 0)
    study.enqueue_trial({"rate": 0.5, "separator": None})
    for end in ends:
        trial = study.ask()
        trial.suggest_float("rate", 0.1, 1, log=True)
        trial.suggest_categorical("separator", [None, "|", "größer"])
        for epoch in range(reports):
            trial.report(epoch / 7, epoch)
            trial.set_user_attr("epochs", epoch)
        if end != TrialState.RUNNING:
            study.tell(trial, 0.5 if end == TrialState.COMPLETE else None, state=end)
    return file.read_bytes().splitlines(keepends=True)


def facts_of(storage):
    """All that the studies of a storage hold."""
    return [
        (study.study_name, study.directions, study.user_attrs, storage.get_all_trials(study._study_id))
        for study in storage.get_all_studies()
    ]


def facts_in(file, content):
    """What Optuna reads from a journal of this content.

    Args:
        file: a file to write the content to.
        content: the content, which is not damaged.
    """
    file.write_bytes(content)
    return facts_of(optuna_storage(file))
