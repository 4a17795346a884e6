"""The order of trials by their objectives, and the Pareto set."""

import optuna
import pytest
from optuna.trial import TrialState

from decouple_search.space.objective import Objective
from decouple_search.study.ranking import best_trial, pareto_set, ranked_trials

OBJECTIVES = (Objective("val_map", "max"), Objective("latency_ms", "min"))


@pytest.fixture
def study():
    """A study with trials of these objectives; None for a trial without an epoch."""
    study = optuna.create_study(directions=["maximize", "minimize"])
    for values in ((0.5, 9.0), (0.7, 9.0), (0.7, 8.0), None, (0.5, 9.0), (0.6, 9.0)):
        trial = study.ask()
        if values:
            trial.set_user_attr("objectives", values)
        study.tell(trial, values, state=TrialState.COMPLETE if values else TrialState.FAIL)
    failed = study.ask()
    failed.set_user_attr("objectives", (0.9, 1.0))
    study.tell(failed, state=TrialState.FAIL)
    return study


def numbers(trials):
    return [trial.number for trial in trials]


def test_trials_are_ranked_by_the_objectives_in_order_and_then_by_their_number(study):
    assert numbers(ranked_trials(study, OBJECTIVES)) == [2, 1, 5, 0, 4]
    assert best_trial(study, OBJECTIVES).number == 2


def test_without_a_value_there_is_no_best_trial():
    assert best_trial(optuna.create_study(), OBJECTIVES) is None


def test_the_pareto_set_has_the_trials_that_no_other_dominates(study):
    assert numbers(pareto_set(study, OBJECTIVES)) == [2]
    fast = study.ask()
    fast.set_user_attr("objectives", (0.1, 2.0))
    study.tell(fast, (0.1, 2.0))
    equal = study.ask()
    equal.set_user_attr("objectives", (0.7, 8.0))
    study.tell(equal, (0.7, 8.0))
    assert numbers(pareto_set(study, OBJECTIVES)) == [2, 7, 8]
