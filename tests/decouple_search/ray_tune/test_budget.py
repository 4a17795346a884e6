"""When a search has used up its epochs, its patience or its seconds."""

import pytest

from decouple_search.ray_tune.budget import Budget
from decouple_search.ray_tune.finals import Finals
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.yaml_file import load_space
from decouple_search.study.optuna_storage import open_study
from tests.decouple_search.ray_tune.stubs import epoch_dict, failure_dict


@pytest.fixture
def make_budget(space_file, tmp_path):
    """Make a budget of a new study; the function's attribute `study` is the study."""
    space = load_space(space_file())
    study = open_study(tmp_path / "study.log", space)

    def make(*, requeue=None, **limits):
        return Budget(study, space, requeue or Requeue(), **limits)

    make.finals = Finals(study, space.objective, FinalistPlan(1, 1), dict, seed=0, used_seed=0)

    make.study = study
    return make


def end_trial(study, best_value):
    """A trial of the study ends; `best_value` is None if it has no value."""
    trial = study.ask()
    if best_value is not None:
        trial.set_user_attr("best_value", best_value)
    study.tell(trial, best_value or 0.0)


def test_epochs_of_earlier_runs_count(make_budget):
    make_budget.study.ask().set_user_attr("epochs", 3)
    budget = make_budget(epochs=5)
    assert not budget.stop_all()
    assert budget("a", epoch_dict(1, 0.5)) is False
    budget("a", failure_dict("out of memory", epoch=1))
    assert not budget.stop_all()
    budget("b", epoch_dict(1, 0.5))
    assert budget.stop_all()
    assert budget.spent == "5 epochs trained (--epoch-budget)"


def test_patience_counts_trials_since_the_best_one_ended(make_budget):
    budget = make_budget(patience=2)
    for value, is_over in ((0.3, False), (0.5, False), (0.4, False), (None, True)):
        end_trial(make_budget.study, value)
        assert budget.stop_all() == is_over
    assert "2 trials in a row" in budget.spent


def test_patience_does_not_count_while_a_running_trial_is_the_best(make_budget):
    budget = make_budget(patience=1)
    for value in (0.5, 0.4):
        end_trial(make_budget.study, value)
    make_budget.study.ask().set_user_attr("best_value", 0.6)
    assert not budget.stop_all()


def test_seconds_of_earlier_runs_count(make_budget, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("decouple_search.ray_tune.budget.time.monotonic", lambda: now[0])
    budget = make_budget(seconds=60, earlier_seconds=50)
    assert not budget.stop_all()
    now[0] = 110.0
    assert budget.stop_all()
    assert budget.spent == "60 s (--time-budget)"


def test_a_machine_without_the_folder_ends_the_search_and_its_trial_is_requeued(make_budget):
    requeue = Requeue()
    budget = make_budget(requeue=requeue)
    budget("a", epoch_dict(1, 0.5))
    assert not budget.stop_all()
    budget("b", failure_dict("no folder", missing_folder="no folder"))
    assert budget.stop_all()
    assert (budget.fault, budget.spent) == ("no folder", "")
    assert (requeue.has("a"), requeue.has("b")) == (False, True)


def test_where_finalists_follow_each_trial_ends_with_its_next_epoch_and_tune_goes_on(make_budget):
    budget = make_budget(epochs=2, finals=make_budget.finals)
    assert budget("a", epoch_dict(1, 0.5)) is False
    assert budget("b", epoch_dict(1, 0.5)) is True
    assert budget("a", epoch_dict(2, 0.5)) is True
    assert budget.is_spent()
    assert not budget.stop_all()


def test_the_epochs_and_seconds_of_finalists_are_not_the_budgets(make_budget, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("decouple_search.ray_tune.budget.time.monotonic", lambda: now[0])
    budget = make_budget(epochs=2, seconds=60, finals=make_budget.finals)
    budget("a", epoch_dict(1, 0.5))
    make_budget.finals.begin()
    now[0] = 500.0
    assert [budget("b", epoch_dict(epoch, 0.5)) for epoch in (1, 2, 3)] == [False] * 3
    assert (budget.is_spent(), budget.stop_all(), budget.spent) == (False, False, "")


def test_a_machine_without_the_folder_ends_the_finalists_too(make_budget):
    budget = make_budget(finals=make_budget.finals)
    make_budget.finals.begin()
    budget("b", failure_dict("no folder", missing_folder="no folder"))
    assert budget.stop_all()


def pause_trial(study, best_value):
    """A trial of the study is paused."""
    trial = study.ask()
    trial.set_user_attr("best_value", best_value)
    trial.set_user_attr("paused", 1)
    return trial


def test_patience_counts_paused_trials(make_budget):
    budget = make_budget(patience=2)
    end_trial(make_budget.study, 0.5)
    pause_trial(make_budget.study, 0.4)
    assert not budget.is_spent()
    goes_on = pause_trial(make_budget.study, 0.3)
    goes_on.set_user_attr("paused", None)
    assert not budget.is_spent()
    goes_on.set_user_attr("paused", 2)
    assert budget.is_spent()


def test_patience_counts_from_the_start_of_a_paused_trial(make_budget):
    """As that is about when it was paused for the first time."""
    budget = make_budget(patience=1)
    pause_trial(make_budget.study, 0.4)
    end_trial(make_budget.study, 0.5)
    assert not budget.is_spent()
    pause_trial(make_budget.study, 0.6)
    assert not budget.is_spent()
    pause_trial(make_budget.study, 0.6)
    assert budget.is_spent()
