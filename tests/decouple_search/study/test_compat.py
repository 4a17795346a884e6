"""The contract with Optuna: one test per function of `study/compat.py`, which says what a new version broke."""

import optuna
import pytest
from optuna.trial import TrialState

from decouple_search.study import compat
from decouple_search.study.optuna_storage import open_study


@pytest.fixture
def studies(space, tmp_path):
    """A study with a trial that an earlier process left running, and the same study as this process opens it."""
    file = tmp_path / "study.log"
    earlier = open_study(file, space)
    earlier.enqueue_trial({"model.alpha": 0.7})
    trial = earlier.ask()
    space.suggest(trial)
    trial.report(0.4, 1)
    return earlier, open_study(file, space)


def test_a_running_trial_of_an_earlier_process_is_reopened_as_it_was(studies, space):
    earlier, study = studies
    trial = compat.reopen_trial(study, 0)
    assert isinstance(trial, optuna.Trial), "optuna.trial.Trial cannot be made from a study and a trial's id"
    assert trial.number == 0, "FrozenTrial._trial_id is not the id of the trial with that number"
    assert space.suggest(trial) == earlier.trials[0].params, "a reopened trial suggests other parameters than before"
    trial.report(0.5, 2)
    trial.set_user_attr("epochs", 2)
    record = study.get_trials(deepcopy=False)[0]
    assert record.intermediate_values == {1: 0.4, 2: 0.5}, "a reopened trial does not report into its study"
    assert record.user_attrs["epochs"] == 2, "a reopened trial does not write attributes into its study"
    study.tell(trial, 0.5)
    assert study.trials[0].state == TrialState.COMPLETE, "Optuna does not take the end of a reopened trial"


def test_the_storage_of_a_study_deletes_it(tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    study = optuna.create_study(storage=url, study_name="x")
    storage = compat.storage_of(study)
    assert isinstance(storage, optuna.storages.BaseStorage), "Study._storage is not the storage of a study"
    optuna.delete_study(study_name="x", storage=storage)
    remaining = optuna.get_all_study_names(storage=url)
    assert remaining == [], "Study._storage is not the storage that the study was opened from"
