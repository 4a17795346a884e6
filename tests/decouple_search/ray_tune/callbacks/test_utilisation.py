"""The busy fraction of a warm search, on a clock that the test moves."""

import pytest

from decouple_search.machines.trial_slots import Room
from decouple_search.ray_tune.callbacks import utilisation as busy
from decouple_search.ray_tune.callbacks.utilisation import BusyMeter


def of(slots, since=0.0):
    """A cluster that always had that many slots."""
    room = Room(None, None, slots)
    room._known = [(since, slots)]
    return room


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(busy.time, "monotonic", lambda: now[0])
    return now


def epoch(seconds):
    return {"train_seconds": seconds * 0.75, "eval_seconds": seconds * 0.25}


def test_warm(clock):
    meter = BusyMeter(2, of(2))
    for at in (110, 112, 130):  # the third trial takes a gang that is warm
        clock[0] = at
        meter.on_trial_start(0, [], None)
    for at, seconds in ((116, 6), (120, 8), (132, 10), (140, 8)):
        clock[0] = at
        meter.on_trial_result(0, [], None, epoch(seconds))
    meter.on_trial_result(0, [], None, {"failed": "the loss is nan"})
    # Warm from 112 to 140; of the first epoch, from 110 to 116, four seconds are in it.
    assert meter.warm() == pytest.approx((4 + 8 + 10 + 8) / (28 * 2))


def test_nothing_trained(clock):
    meter = BusyMeter(2, of(2))
    assert meter.warm() == 0
    meter.on_trial_start(0, [], None)
    meter.on_trial_result(0, [], None, {"failed": "no"})
    assert meter.warm() == 0
