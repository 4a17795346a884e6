"""The command that searches wider ranges: the user's own words that still hold, and the notes that give it."""

import shlex
from dataclasses import replace

import pytest

from decouple_search.results.wider_search import WiderSearch
from decouple_search.study.ranges import Edge

SEARCH = WiderSearch(words=(), ranges={}, name=None, must_resume=False, warm_start="results/demo-1")
RATE = Edge("optim.lr", 0.01, "upper", (1e-4, 0.01), (1e-4, 0.1), 1)
MAPS = Edge("model.maps_per_class", 1, "upper", (1, 4), (1, 6), 2)


@pytest.fixture(autouse=True)
def started_as_module(monkeypatch):
    monkeypatch.setattr("sys.argv", ["tune.py"])


def test_the_note_of_a_single_edge_has_the_command():
    assert SEARCH.notes([RATE]) == [
        "optim.lr: the best value 0.01 is at the upper end of its range [0.0001, 0.01]; search wider: python -m "
        "decouple_search.tune --ranges '{optim.lr: [0.0001, 0.1]}' --warm-start results/demo-1"
    ]


def test_the_last_note_of_several_edges_has_the_command_for_all():
    first, last = SEARCH.notes([RATE, MAPS])
    assert first == str(RATE)
    assert last.startswith(f"{MAPS}; search wider: ")
    assert "--ranges '{optim.lr: [0.0001, 0.1], model.maps_per_class: [1, 6]}'" in last
    assert SEARCH.notes([]) == []


def test_while_the_search_runs_the_command_is_for_afterwards():
    assert SEARCH.note(RATE).startswith(f"{RATE}; to search wider after this search: python -m decouple_search.tune")


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--space", "my space.yaml", "--trials", "8"], ["--space", "my space.yaml", "--trials", "8"]),
        (["--name", "a", "--retrain-best"], ["--retrain-best"]),
        (["--resume=must", "--model.alpha=0.5", "--warm-start=other"], ["--model.alpha=0.5"]),
        (["--warm-start", "other", "--ranges", "{optim.lr: [0.001, 0.01]}", "--seed", "3"], ["--seed", "3"]),
    ],
)
def test_the_user_s_words_are_kept_but_for_those_that_no_longer_hold(words, kept):
    command = replace(SEARCH, words=tuple(words)).command({"optim.lr": (1e-4, 0.1)})
    added = ["--ranges", "{optim.lr: [0.0001, 0.1]}", "--warm-start", "results/demo-1"]
    assert shlex.split(command) == ["python", "-m", "decouple_search.tune", *kept, *added]


def test_ranges_that_were_given_before_stay():
    search = replace(SEARCH, ranges={"optim.lr": [1e-4, 0.01], "model.alpha": [0.0, 0.5]})
    assert "'{optim.lr: [0.0001, 0.1], model.alpha: [0.0, 0.5]}'" in search.command({"optim.lr": (1e-4, 0.1)})


def test_a_named_search_gets_another_name_and_one_that_had_to_resume_need_not():
    words = shlex.split(replace(SEARCH, name="mine", must_resume=True).command({}))
    assert words[words.index("--name") + 1] == "mine-wider"
    assert words[words.index("--resume") + 1] == "auto"


def test_a_study_in_a_database_cannot_be_imported():
    assert "--warm-start" not in replace(SEARCH, warm_start=None).command({})


def test_a_search_from_python_gets_its_arguments():
    search = replace(SEARCH, words=None)
    assert search.command({"optim.lr": (1e-4, 0.1)}) == (
        "search(..., ranges={'optim.lr': [0.0001, 0.1]}, warm_start='results/demo-1')"
    )
    assert replace(search, warm_start=None).command({}) == "search(..., ranges={})"
