"""When a search is over before its trials are."""

import pytest

from decouple_search.ray_tune.budget import Budget
from decouple_search.ray_tune.trainable import UNSHARED
from decouple_search.space.yaml_file import load_space
from decouple_search.study.record import open_study


@pytest.fixture
def study(space_file, tmp_path):
    space = load_space(space_file())
    return open_study(tmp_path / "study.log", space), space


def test_epochs_of_earlier_runs_count(study):
    study, space = study
    study.ask().set_user_attr("epochs", 3)
    budget = Budget(study, space, epochs=5)
    assert not budget.stop_all()
    assert budget("a", {"epoch": 1}) is False
    budget("a", {"failed": "no"})
    assert not budget.stop_all()
    budget("b", {"epoch": 1})
    assert budget.stop_all()
    assert budget.spent == "5 epochs trained (--epoch-budget)"


def test_patience_counts_trials_since_the_best(study):
    study, space = study
    budget = Budget(study, space, patience=2)
    for value, over in ((0.3, False), (0.5, False), (0.4, False), (None, True)):
        trial = study.ask()
        if value:
            trial.set_user_attr("best_value", value)
        study.tell(trial, value or 0.0)
        assert budget.stop_all() == over
    assert "2 trials in a row" in budget.spent


def test_a_running_trial_that_is_the_best_is_waited_for(study):
    study, space = study
    budget = Budget(study, space, patience=1)
    for value in (0.5, 0.4):
        trial = study.ask()
        trial.set_user_attr("best_value", value)
        study.tell(trial, value)
    study.ask().set_user_attr("best_value", 0.6)
    assert not budget.stop_all()


def test_seconds_of_earlier_runs_count(study, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("decouple_search.ray_tune.budget.time.monotonic", lambda: now[0])
    budget = Budget(*study, seconds=60, before=50)
    assert not budget.stop_all()
    now[0] = 110.0
    assert budget.stop_all()
    assert budget.spent == "60 s (--time-budget)"


def test_a_machine_without_the_folder_ends_the_search_and_not_its_trial(study):
    again = set()
    budget = Budget(*study, again=again)
    budget("a", {"epoch": 1, "val_map": 0.5})
    assert not budget.stop_all()
    budget("b", {"epoch": 0, "failed": "no folder", UNSHARED: "no folder"})
    assert budget.stop_all()
    assert (budget.fault, budget.spent, again) == ("no folder", "", {"b"})
