"""Figures of whole searches, and the lines that they are read from."""

import math

import pytest

from benchmarks.end_to_end import LINE, Search, figures
from decouple_search.ray_tune.callbacks.progress import LiveProgress
from decouple_search.space.objective import Objective
from tests.decouple_search.ray_tune.stubs import StubTrial, epoch_dict

SEARCHES = [
    Search("ours", 0, 50.0, [(10.0, 0.7), (20.0, 0.81), (40.0, 0.8)]),
    Search("ours", 1, 70.0, [(12.0, 0.6), (50.0, 0.83)]),
    Search("ours", 2, 60.0, [(10.0, 0.79)]),
    Search("peer", 0, 30.0, [(5.0, 0.5)]),
]


def test_a_search_knows_when_it_reached_a_value_and_its_best_until_then():
    search = SEARCHES[0]
    assert search.first(0.8) == 20
    assert math.isinf(search.first(0.9))
    assert (search.best(15), search.best(), search.best(1)) == (0.7, 0.81, 0)


def test_figures_count_searches_that_do_not_reach_a_value():
    lines = list(figures(SEARCHES, [0.8, 0.9]))
    assert lines[0] == "ours, 3 times: 60 s (quartiles 55 and 65), 2 epochs"
    assert lines[1:3] == ["  to 0.8: 50 s, 2 of 3", "  to 0.9: not reached by half, 0 of 3"]
    assert "30 s 0.7333" in lines[3]
    assert "end 0.8100" in lines[3]
    assert lines[4].startswith("peer, 1 times: 30 s")


def test_screening_is_sooner_by_the_seconds_to_the_best_value_without():
    searches = [
        Search("screen auto", 0, 60.0, [(10.0, 0.3), (20.0, 0.4)]),
        Search("screen off", 0, 60.0, [(30.0, 0.2), (50.0, 0.35)]),
        Search("screen auto", 1, 60.0, [(10.0, 0.3)]),
        Search("screen off", 1, 60.0, [(30.0, 0.5)]),
    ]
    assert list(figures(searches, []))[-2:] == [
        "seed 0: screen off has 0.3500 after 50 s; screen auto after 20 s, 2.5 times sooner",
        "seed 1: screen off has 0.5000 after 30 s; screen auto never",
    ]


def test_epochs_of_screened_heads_are_not_read(capsys):
    with LiveProgress(3, 2, Objective("val_map", "max")) as progress:
        screened = StubTrial("0007", screened=True, config={"train.epochs": 4})
        progress.on_trial_result(0, [], screened, epoch_dict(1, 0.5))
    printed = capsys.readouterr().out
    assert "trial 0007  epoch 1/" in printed
    assert LINE.search(printed) is None


@pytest.mark.parametrize("value", [0.25, 1.0])
def test_epochs_are_read_from_the_lines_of_a_search(capsys, value):
    with LiveProgress(3, 2, Objective("val_map", "max")) as progress:
        progress.on_trial_result(0, [], StubTrial("0007", trial_id="7"), epoch_dict(1, value))
    found = LINE.search(capsys.readouterr().out)
    assert (found["trial"], found["epoch"], float(found["value"])) == ("0007", "1", value)
