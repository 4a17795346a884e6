"""What the study records of a trial, and which trials of a study are meant."""

import pytest

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.space.objective import Objective
from decouple_search.space.yaml_file import load_space
from decouple_search.study.compat import reopen_trial
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.record import (
    NO_EPOCH,
    WORKER_LOST,
    StudyRecord,
    all_trials,
    ended_names,
    ended_trials,
    own_trials,
)
from decouple_search.study.trial_log import TrialLog, note_checkpoint, note_pause, note_stop

MAP = Objective("val_map", "max")


@pytest.fixture
def study(space, tmp_path):
    return open_study(tmp_path / "study.log", space)


def log_epochs(study, *values, objectives=(MAP,)):
    """A running trial with an epoch for each val_map, of 2.5 seconds and a latency of 7 ms."""
    log = TrialLog(study, study.ask())
    for epoch, value in enumerate(values, start=1):
        measures = {"val_map": value, "latency_ms": 7.0, "train_seconds": 2.0, "eval_seconds": 0.5}
        log.epoch(EpochResult(epoch=epoch, measures=measures), objectives, None)
    return log


def test_a_trial_has_its_best_epoch_and_all_its_seconds(study):
    record = log_epochs(study, 0.3, 0.5, 0.4).record
    assert (record.name, record.epochs, record.seconds) == ("0000", 3, 7.5)
    assert (record.best_epoch, record.best_value, record.objectives, record.val_map) == (2, 0.5, (0.5,), 0.5)
    assert record.curve == {1: 0.3, 2: 0.5, 3: 0.4}
    assert record.measured
    assert not record.ended


def test_several_objectives_have_a_curve_of_the_first(space_file, tmp_path):
    several = load_space(space_file(("trials: 4", "objective: [{metric: val_map}, {metric: latency_ms}]")))
    study = open_study(tmp_path / "several.log", several)
    record = log_epochs(study, 0.3, 0.5, objectives=several.objectives).record
    assert record.curve == {1: 0.3, 2: 0.5}
    assert record.objectives == (0.5, 7.0)


@pytest.mark.parametrize(
    ("values", "failure", "result", "reason"),
    [
        ((0.3, 0.5), None, "COMPLETE", None),
        ((0.3,), None, "PRUNED", None),
        ((), None, "FAIL", NO_EPOCH),
        ((0.3,), "the loss is nan", "FAIL", "the loss is nan"),
    ],
)
def test_how_a_trial_ends(study, values, failure, result, reason):
    log = log_epochs(study, *values)
    log.end(failure, epochs=2)
    assert (log.record.result, log.record.failure, log.record.ended) == (result, reason, True)


@pytest.mark.parametrize(("failure", "expected"), [("the loss is nan", True), (WORKER_LOST, False), (None, False)])
def test_only_a_failure_of_the_configuration_means_that_it_cannot_be_trained(study, failure, expected):
    log = log_epochs(study)
    log.end(failure, epochs=2)
    assert log.record.cannot_be_trained is expected


def test_stops_and_checkpoints_are_noted_until_a_trial_has_ended(study):
    log = log_epochs(study, 0.3)
    note_checkpoint(study, 0, "trials/0000/checkpoint_000000")
    note_stop(study, 0, 1)
    log.end(None, epochs=2)
    note_stop(study, 0, 2)
    note_checkpoint(study, 0, None)
    assert (log.record.stopped_after, log.record.checkpoint) == (1, "trials/0000/checkpoint_000000")


def test_waiting_start_points_are_no_trials_of_the_search_yet(study):
    study.enqueue_trial({"model.alpha": 0.1})
    assert len(all_trials(study)) == 1
    assert own_trials(study) == []


def test_running_trials_with_an_epoch_count_as_ended_only_in_an_interrupted_search(study):
    log_epochs(study, 0.3)
    log_epochs(study)
    log_epochs(study, 0.4).end(None, epochs=2)
    assert [record.number for record in ended_trials(study)] == [2]
    StudyRecord(study).interrupted = True
    assert [record.number for record in ended_trials(study)] == [0, 2]
    assert ended_trials(study)[0].result == "PRUNED"


def test_a_trial_is_paused_until_it_goes_on_or_ends(study):
    log = log_epochs(study, 0.3)
    states = [(log.record.is_training, log.record.is_paused)]
    for epoch in (1, None, 1):
        note_pause(study, 0, epoch)
        states.append((log.record.is_training, log.record.is_paused))
    log.end(None, epochs=2)
    states.append((log.record.is_training, log.record.is_paused))
    assert states == [(True, False), (False, True), (True, False), (False, True), (False, False)]


def test_a_paused_trial_counts_among_those_that_have_ended_and_has_no_place_among_their_names(study):
    """The leaderboard has it. Its checkpoints are kept."""
    for value in (0.3, 0.4, 0.5):
        log_epochs(study, value)
    note_pause(study, 1, 1)
    TrialLog(study, reopen_trial(study, 2)).end(None, epochs=2)
    assert [(record.number, record.result) for record in ended_trials(study)] == [(1, "PRUNED"), (2, "PRUNED")]
    assert ended_names(study) == {"0002"}
