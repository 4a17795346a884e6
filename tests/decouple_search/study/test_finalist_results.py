"""What the fresh seeds say of the finalists: means, lower bounds, and which one wins."""

import pytest

from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.objective import Objective
from decouple_search.space.yaml_file import load_space
from decouple_search.study.finalist_results import finalist_results, trained_finalists
from decouple_search.study.finalists import choose_finalists
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.ranking import best_training, best_trial, ranked_trials, search_best
from tests.decouple_search.results.studies import run_repeat, run_trial

VAL_MAP = Objective("val_map", "max")


@pytest.fixture
def make_study(space_file, tmp_path):
    """Make a study of three trials and of finalists with these values of their seeds; None for a failed training."""

    def make(*values_by_seed, objective=VAL_MAP, claims=(0.9, 0.8, 0.7)):
        text = f"objective: [{{metric: {objective.metric}}}]\nscheduler: {{"
        space = load_space(space_file(("scheduler: {", text)))
        study = open_study(tmp_path / "study.log", space)
        for claim in claims:
            run_trial(study, space, (claim,), epochs=1)
        expected = dict.fromkeys(range(len(values_by_seed)), 0.5)
        plan = FinalistPlan(len(values_by_seed), len(values_by_seed[0]))
        seeds = choose_finalists(study, expected, objective, plan, seed=0, used_seeds=[0]).seeds
        for finalist, values in enumerate(values_by_seed):
            for seed, value in zip(seeds, values, strict=True):
                failure = "the loss is nan" if value is None else None
                run_repeat(study, space, finalist, seed, (value or 0.1,), epochs=1, failure=failure)
        return study

    return make


def test_a_finalist_has_the_mean_and_the_spread_of_its_seeds(make_study):
    (result,) = finalist_results(make_study((0.5, 0.6, 0.7)), VAL_MAP)
    assert (result.trial.number, result.seeds, result.failed) == (0, 3, 0)
    assert (result.mean, result.std) == pytest.approx((0.6, 0.1))
    assert (result.val_map_mean, result.val_map_std) == pytest.approx((0.6, 0.1))
    assert result.lower_bound == pytest.approx(0.6 - 0.1 / 3**0.5)
    assert [repeat.best_value for repeat in result.repeats] == [0.7, 0.6, 0.5]


def test_the_winner_is_the_best_by_its_lower_bound(make_study):
    study = make_study((0.9, 0.4), (0.62, 0.60))
    assert [result.trial.number for result in finalist_results(study, VAL_MAP)] == [1, 0]
    assert best_trial(study, [VAL_MAP]).number == 1


def test_the_bound_of_a_loss_is_above_its_mean(make_study):
    objective = Objective("val_loss", "min")
    study = make_study((0.1, 0.5), (0.25, 0.27), objective=objective)
    results = finalist_results(study, objective)
    assert [result.trial.number for result in results] == [1, 0]
    assert results[0].lower_bound == pytest.approx(0.27)
    assert results[1].lower_bound == pytest.approx(0.5)


def test_with_one_seed_the_bound_is_the_mean(make_study):
    results = finalist_results(make_study((0.5,), (0.6,)), VAL_MAP)
    assert [(each.mean, each.std, each.lower_bound) for each in results] == [(0.6, None, 0.6), (0.5, None, 0.5)]


def test_a_single_seed_that_is_left_takes_the_spread_of_the_others(make_study):
    """Otherwise a finalist that fails twice would win by the one value that is left."""
    left, other = finalist_results(make_study((0.62, None, None), (0.5, 0.6, 0.7)), VAL_MAP)[::-1]
    assert (left.trial.number, left.seeds, left.failed) == (0, 1, 2)
    assert left.lower_bound == pytest.approx(0.62 - 0.1)
    assert left.std is None
    assert other.trial.number == 1


def test_a_finalist_without_a_measured_seed_has_no_result_and_cannot_win(make_study):
    study = make_study((None, None), (0.5, 0.6))
    assert [result.trial.number for result in finalist_results(study, VAL_MAP)] == [1, 0]
    assert finalist_results(study, VAL_MAP)[1].mean is None
    assert [result.trial.number for result in trained_finalists(study, VAL_MAP)] == [1]


def test_where_all_trainings_failed_the_searchs_best_wins(make_study):
    study = make_study((None,), (None,))
    assert best_trial(study, [VAL_MAP]).number == 0
    assert best_training(study, [VAL_MAP]).number == 0


def test_nobody_wins_before_all_trainings_have_ended(make_study, space_file, tmp_path):
    study = make_study((0.5, 0.6), (0.7, 0.8))
    assert best_trial(study, [VAL_MAP]).number == 1
    choose_finalists(study, {0: 0.5, 1: 0.5}, VAL_MAP, FinalistPlan(2, 3), seed=0, used_seeds=[0])
    assert trained_finalists(study, VAL_MAP) == []
    assert len(finalist_results(study, VAL_MAP)) == 2
    assert best_trial(study, [VAL_MAP]).number == 0


def test_finalists_come_first_and_the_best_training_is_the_winners_best_repeat(make_study):
    study = make_study((0.5, 0.4), (0.6, 0.61))
    assert [trial.number for trial in ranked_trials(study, [VAL_MAP])] == [1, 0, 2]
    assert search_best(study, [VAL_MAP]).number == 0
    training = best_training(study, [VAL_MAP])
    assert (training.repeat_of, training.best_value) == (1, 0.61)


def test_finalists_of_an_earlier_choice_compete_too(make_study):
    study = make_study((0.5, 0.6), (0.7, 0.8))
    choose_finalists(study, {0: 0.9, 1: 0.1}, VAL_MAP, FinalistPlan(1, 2), seed=0, used_seeds=[0])
    assert [result.trial.number for result in trained_finalists(study, VAL_MAP)] == [1, 0]
