"""The time that a search takes, and the share of it in which its workers train, on a clock that the test moves."""

import pytest

from decouple_search.machines.trial_slots import TrialSlots
from decouple_search.ray_tune.callbacks import utilisation
from decouple_search.ray_tune.callbacks.utilisation import BusyMeter, SearchClock
from decouple_search.space.yaml_file import load_space
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.record import StudyRecord
from tests.decouple_search.ray_tune.stubs import epoch_dict, failure_dict


def constant_slots(count, monkeypatch):
    """A cluster that always had this number of slots."""
    slots = TrialSlots(None, None, count)
    slots.history.append((0.0, count))
    monkeypatch.setattr(TrialSlots, "__call__", lambda self: count)
    return slots


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(utilisation.time, "monotonic", lambda: now[0])
    return now


def epoch_of(seconds):
    """An epoch that took this time."""
    return epoch_dict(1, 0.5, train_seconds=seconds * 0.75, eval_seconds=seconds * 0.25)


def test_the_warm_time_starts_when_the_first_gangs_are_up_and_ends_with_the_last_epoch(clock, monkeypatch):
    meter = BusyMeter(2, constant_slots(2, monkeypatch))
    for moment in (110, 112, 130):  # the third trial takes a gang that is warm
        clock[0] = moment
        meter.on_trial_start(0, [], None)
    for moment, seconds in ((116, 6), (120, 8), (132, 10), (140, 8)):
        clock[0] = moment
        meter.on_trial_result(0, [], None, epoch_of(seconds))
    meter.on_trial_result(0, [], None, failure_dict("the loss is nan"))
    # Warm from 112 to 140. Of the first epoch, from 110 to 116, four seconds are in it.
    assert meter.warm() == pytest.approx((4 + 8 + 10 + 8) / (28 * 2))


def test_without_an_epoch_nothing_is_busy(clock, monkeypatch):
    meter = BusyMeter(2, constant_slots(2, monkeypatch))
    assert meter.warm() == 0
    meter.on_trial_start(0, [], None)
    meter.on_trial_result(0, [], None, failure_dict("out of memory"))
    assert meter.warm() == 0


def test_the_clock_adds_this_run_to_earlier_runs(clock, monkeypatch, space_file, tmp_path):
    study = open_study(tmp_path / "study.log", load_space(space_file()))
    StudyRecord(study).set_seconds(wall=50, slots=75)
    search_clock = SearchClock(study, constant_slots(2, monkeypatch), started=90.0)
    assert search_clock.earlier_seconds == 50
    for moment in (100.0, 110.0):
        clock[0] = moment
        search_clock.note()
    assert StudyRecord(study).wall_seconds == 50 + 20
    assert StudyRecord(study).slot_seconds == 75 + 20 * 2
