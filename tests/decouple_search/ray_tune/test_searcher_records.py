"""The study as Tune's searcher: what it records of trials that end in each way."""

import math

import optuna
import pytest
from optuna.trial import TrialState

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.callbacks.recorder import EpochRecorder
from decouple_search.space.yaml_file import load_space
from decouple_search.study.optuna_storage import STUDY_NAME
from decouple_search.study.record import TrialRecord, all_trials
from tests.decouple_search.ray_tune.searchers import make_searcher, new_study, suggest, with_config
from tests.decouple_search.ray_tune.stubs import StubTrial, epoch_dict, failure_dict


@pytest.fixture
def space(space_file):
    return load_space(space_file())


def test_each_way_in_which_a_trial_ends(searcher, study):
    for name in "ab":
        searcher.suggest(name)
    searcher.on_trial_result("a", epoch_dict(1, 0.3))
    searcher.on_trial_result("a", epoch_dict(2, 0.6))
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    searcher.on_trial_result("b", epoch_dict(1, 0.2))
    searcher.on_trial_complete("b", epoch_dict(2, 0.1))
    for name in "cd":
        searcher.suggest(name)
    searcher.on_trial_result("c", epoch_dict(1, 0.4))
    searcher.on_trial_complete("c", failure_dict("the loss is nan in epoch 2", epoch=1))
    searcher.on_trial_complete("d", None, error=True)
    trials = study.trials
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.FAIL,
    ]
    assert trials[0].value == 0.6, "a trial's value is that of its best epoch, as in the leaderboard"
    assert trials[0].intermediate_values == {1: 0.3, 2: 0.6, 3: 0.5}
    assert trials[1].intermediate_values == {1: 0.2, 2: 0.1}
    records = [TrialRecord(trial) for trial in trials]
    assert records[0].best_epoch == 2
    assert records[2].failure == "the loss is nan in epoch 2"
    assert records[3].failure == "a worker was lost"


def test_a_trial_that_is_stopped_before_its_first_result_fails(searcher, study):
    """Tune then gives a result that has its id and no epoch."""
    searcher.suggest("a")
    searcher.on_trial_complete("a", {"trial_id": "a"})
    assert TrialRecord(study.trials[0]).failure == "stopped before its first epoch ended"


def test_an_epoch_that_is_trained_twice_counts_once(searcher, study):
    searcher.suggest("a")
    for result in (epoch_dict(1, 0.3), epoch_dict(2, 0.4), epoch_dict(2, 0.4)):
        searcher.on_trial_result("a", result)
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    assert study.trials[0].intermediate_values == {1: 0.3, 2: 0.4, 3: 0.5}
    assert TrialRecord(study.trials[0]).seconds == 3 * 2.5


def test_the_parameters_are_those_that_trained_the_best_epoch(searcher, study, space):
    """PBT takes a donor's configuration, and changes it."""
    proposed = suggest(searcher, "a").config
    searcher.on_trial_result("a", with_config(epoch_dict(1, 0.3), proposed))
    donors = proposed | {"model.maps_per_class": 3, "model.alpha": 0.9, "model.k_neg": 0.5, "optim.lr": 0.004}
    lineage = ("0001 epoch 1",)
    searcher.on_trial_result("a", with_config(epoch_dict(2, 0.6, lineage=lineage), donors))
    worse = donors | {"optim.lr": 0.001}
    searcher.on_trial_complete("a", with_config(epoch_dict(3, 0.5, lineage=lineage), worse))
    trial, record = study.trials[0], TrialRecord(study.trials[0])
    assert record.parameters == {key: donors[key] for key in space.keys}
    assert trial.params == {key: proposed[key] for key in trial.params}, "Optuna keeps the proposed parameters"
    assert record.lineage == lineage


def test_parameters_that_did_not_change_are_not_recorded_twice(searcher, study):
    proposed = suggest(searcher, "a").config
    searcher.on_trial_complete("a", with_config(epoch_dict(3, 0.3), proposed))
    assert "in_force" not in study.trials[0].user_attrs


def test_all_objectives_and_their_curves_are_recorded(space_file, tmp_path):
    objectives = "[{metric: val_map}, {metric: parameters}]"
    space = load_space(space_file(("scheduler: {", f"objective: {objectives}\nscheduler: {{")))
    study = new_study(tmp_path / "several.log", space)
    searcher = make_searcher(study, space, trials=4, slots=4)
    for name, value, size in (("a", 0.5, 10), ("b", 0.4, 5), ("c", 0.4, 7), ("d", 0.6, 10)):
        searcher.suggest(name)
        searcher.on_trial_result(name, epoch_dict(1, value - 0.1, parameters=size))
        searcher.on_trial_complete(name, epoch_dict(3, value, parameters=size))
    assert [tuple(trial.values) for trial in study.trials] == [(0.5, 10), (0.4, 5), (0.4, 7), (0.6, 10)]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert all_trials(study)[0].curve == {1: 0.4, 3: 0.5}
    assert {trial.number for trial in study.best_trials} == {1, 3}


def test_a_value_that_is_not_finite_is_not_reported(searcher, study):
    searcher.suggest("a")
    searcher.on_trial_result("a", epoch_dict(1, math.nan))
    searcher.on_trial_complete("a", None)
    assert study.trials[0].intermediate_values == {}
    assert study.trials[0].state == TrialState.FAIL


def test_the_recorder_records_an_epoch_before_tune_tells_the_searcher(searcher, study):
    """Its results are nested, as callbacks get them."""
    proposed = suggest(searcher, "a")
    changed = dict(proposed.config) | {"optim.lr": 0.004}
    result = epoch_dict(1, 0.3) | {"config": {**proposed.to_tune(), "config": changed}}
    EpochRecorder(searcher).on_trial_result(0, [], StubTrial("0000", trial_id="a"), result)
    assert study.trials[0].intermediate_values == {1: 0.3}
    assert TrialRecord(study.trials[0]).parameters["optim.lr"] == 0.004


def test_an_epoch_of_another_searchers_trial_is_ignored(searcher, study):
    searcher.suggest("a")
    searcher.record("other", EpochResult(epoch=1, measures={"val_map": 0.5}))
    assert study.trials[0].intermediate_values == {}


def test_optuna_alone_opens_the_study(searcher, tmp_path):
    searcher.suggest("a")
    searcher.on_trial_complete("a", epoch_dict(3, 0.7))
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log")))
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    assert study.best_value == 0.7
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_the_number_of_weights_is_that_of_the_network_that_trains(searcher, study):
    """PBT gives a trial its donor's network."""
    searcher.suggest("a")
    for epoch, size in ((1, 10), (2, 25)):
        searcher.on_trial_result("a", epoch_dict(epoch, 0.1, parameters=size))
    assert study.trials[0].user_attrs["parameters"] == 25
