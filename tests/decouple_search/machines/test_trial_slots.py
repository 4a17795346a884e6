"""The number of slots on a cluster that changes, with a clock that the test moves."""

import pytest

from decouple_search.machines import trial_slots as trial_slots_module
from decouple_search.machines.trial_slots import LOOK_SECONDS, TrialSlots
from decouplenet.config import Config


@pytest.fixture
def clock(monkeypatch):
    """The time, as a list of one number that the test changes."""
    clock = [100.0]
    monkeypatch.setattr(trial_slots_module.time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def machines(monkeypatch):
    """The machines, which the test changes."""
    machines = [{"CPU": 2}]
    monkeypatch.setattr(trial_slots_module, "current_machines", lambda config, limits: (config, machines))
    return machines


def test_slots_follow_the_cluster_up_to_the_maximum_and_are_at_least_one(clock, machines, capsys):
    slots = TrialSlots(Config(), lambda: None, 5)
    assert slots() == 2
    machines.append({"CPU": 8})
    assert slots() == 2  # the cluster is not looked at again so soon
    clock[0] += 2 * LOOK_SECONDS
    assert slots() == 5
    assert capsys.readouterr().out == ""
    machines.clear()
    clock[0] += 2 * LOOK_SECONDS
    assert slots() == 1  # a trial waits
    assert capsys.readouterr().out == "waiting    for machines: no trial fits on the machines that are there\n"
    clock[0] += 2 * LOOK_SECONDS
    assert slots() == 1
    assert capsys.readouterr().out == ""  # once is enough
    assert [count for _, count in slots.history] == [2, 5, 1]


def test_slot_seconds_are_the_time_of_all_slots(clock, machines):
    slots = TrialSlots(Config(), lambda: None, 5)
    assert slots.slot_seconds(0, 50) == 0
    slots()
    machines.append({"CPU": 1})
    clock[0] = 110
    slots()
    assert slots.slot_seconds(90, 120) == 20 * 2 + 10 * 3
    assert slots.slot_seconds(105, 108) == 3 * 2
