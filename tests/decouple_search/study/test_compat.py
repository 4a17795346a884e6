"""The contract with Optuna: one test per function of `study/compat.py`, which says what a new version broke."""

import json
import threading

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


def test_a_journal_has_a_record_per_line_that_names_its_writer(studies, tmp_path):
    _, study = studies
    thread = threading.Thread(target=lambda: study.tell(study.ask(), 0.5))
    thread.start()
    thread.join()
    lines = (tmp_path / "study.log").read_text().splitlines()
    starts = [line for line in lines if not line.startswith(compat.RECORD_START)]
    assert starts == [], "the records of a journal begin in another way, so joined records cannot be told apart"
    records = [json.loads(line) for line in lines]
    others = [record for record in records if not compat.is_record(record)]
    assert others == [], "the records of a journal have no op_code and worker_id"
    writers = list(dict.fromkeys(map(compat.writer_of, records)))
    assert len({record["worker_id"] for record in records}) == 3, "a thread does not write under a name of its own"
    assert len(writers) == 2, "the worker_id is not the name of a storage, which is new at each opening, and a thread"
    assert "" not in writers, "the worker_id of a record does not begin with the name of its storage"


@pytest.mark.parametrize("value", [None, 5, "text", [{}], {}, {"op_code": 4}, {"op_code": True, "worker_id": "a-1"}])
def test_other_json_is_no_record_of_a_journal(value):
    assert not compat.is_record(value)
