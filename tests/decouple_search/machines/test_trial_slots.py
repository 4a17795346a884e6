"""Room for trials on a cluster that changes, on a clock that the test moves."""

import pytest

from decouple_search.machines import trial_slots as room
from decouple_search.machines.trial_slots import LOOK, Room
from decouplenet.config import Config


@pytest.fixture
def now(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def nodes(monkeypatch):
    """The machines, which may change."""
    nodes = [{"CPU": 2}]
    monkeypatch.setattr(room, "machines", lambda config, cluster: (config, nodes))
    return nodes


def test_room_grows_and_shrinks_with_the_cluster(now, nodes, capsys):
    there = Room(Config(), lambda: None, 5)
    assert there() == 2
    nodes.append({"CPU": 8})
    assert there() == 2  # it does not look all the time
    now[0] += 2 * LOOK
    assert there() == 5
    assert capsys.readouterr().out == ""
    nodes.clear()
    now[0] += 2 * LOOK
    assert there() == 1  # and that one waits
    assert capsys.readouterr().out == "waiting    for machines: no trial has room on those that are there\n"


def test_the_time_of_all_slots(now, nodes):
    there = Room(Config(), lambda: None, 5)
    assert there.slot_seconds(0, 50) == 0
    there()
    nodes.append({"CPU": 1})
    now[0] = 110
    there()
    assert there.slot_seconds(90, 120) == 20 * 2 + 10 * 3
    assert there.slot_seconds(105, 108) == 3 * 2
