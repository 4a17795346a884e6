"""The choice of finalists, their seeds, and their trainings in the study."""

import optuna
import pytest

from decouple_search.space.domain import Choice
from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.space import Space
from decouple_search.study.finalists import (
    add_repeat,
    are_trained,
    choose_finalists,
    fresh_seeds,
    missing_repeats,
    read_choice,
)
from decouple_search.study.optuna_storage import STUDY_NAME, open_study
from decouple_search.study.record import NO_EPOCH, all_trials, ended_trials, own_trials, repeat_trials, search_trials
from tests.decouple_search.results.studies import run_repeat, run_trial

EXPECTED = {0: 0.4, 1: 0.6, 2: 0.5, 3: 0.3}


@pytest.fixture
def space():
    """A space of few configurations, so that some repeat."""
    return Space({"model.attention": Choice(["none", "arch1", "arch2", "joint"])}, where="space")


@pytest.fixture
def study(space, tmp_path):
    """A study of four trials. The first one has the luckiest epoch."""
    study = open_study(tmp_path / "study.log", space)
    for attention, value in (("none", 0.9), ("arch1", 0.6), ("arch2", 0.5), ("joint", 0.3)):
        study.enqueue_trial({"model.attention": attention})
        run_trial(study, space, (value,), epochs=1)
    return study


@pytest.fixture
def choose(study, space):
    """Choose finalists of the study."""

    def choose(count, seeds, expected=EXPECTED, seed=0):
        plan = FinalistPlan(count, seeds)
        return choose_finalists(study, expected, space.objective, plan, seed=seed, used_seeds=[0])

    return choose


def test_the_finalists_are_the_best_by_expectation_and_not_by_their_best_epoch(choose):
    assert choose(2, 1).trials == (1, 2)


def test_less_is_better_of_a_loss(study):
    space = Space({"model.attention": Choice(["none", "arch1", "arch2", "joint"])}, objective={"metric": "val_loss"})
    choice = choose_finalists(study, EXPECTED, space.objective, FinalistPlan(2, 1), seed=0, used_seeds=[0])
    assert choice.trials == (3, 0)


def test_trials_with_equal_parameters_are_one_finalist(study, space, choose):
    study.enqueue_trial({"model.attention": "arch1"})
    run_trial(study, space, (0.7,), epochs=1)
    assert choose(2, 1, EXPECTED | {4: 0.6}).trials == (4, 2), "the better of two equal trials does not stand for both"


def test_there_are_as_many_finalists_as_configurations(choose):
    assert choose(9, 1).trials == (1, 2, 0, 3)


def test_the_choice_stands_when_the_expectations_change(study, choose):
    first = choose(2, 2)
    assert choose(2, 2, {number: -value for number, value in EXPECTED.items()}, seed=7) == first == read_choice(study)


def test_more_finalists_and_more_seeds_extend_the_choice(choose):
    first, more = choose(1, 1), choose(3, 2, seed=5)
    assert more.trials == (1, 2, 0)
    assert more.seeds[:1] == first.seeds
    assert choose(1, 1) == first


def test_after_more_trials_the_finalists_are_chosen_anew_with_the_same_seeds(study, space, choose):
    first = choose(2, 2)
    study.enqueue_trial({"model.attention": "none"})
    run_trial(study, space, (0.95,), epochs=1)
    anew = choose(2, 2, EXPECTED | {4: 0.8})
    assert (anew.trials, anew.seeds) == ((4, 1), first.seeds)


def test_fresh_seeds_differ_from_each_other_and_from_those_of_the_search():
    seeds = fresh_seeds(3, 50, used=())
    assert len(set(seeds)) == 50
    assert fresh_seeds(3, 50, used=seeds[:1])[0] == seeds[1]
    assert fresh_seeds(4, 50, used=()) != seeds


def test_fresh_seeds_follow_from_the_searchs_seed_and_more_of_them_begin_with_the_same():
    assert fresh_seeds(3, 2, used=()) == fresh_seeds(3, 5, used=())[:2]
    assert fresh_seeds(9, 3, used=(), earlier=(11, 12))[:2] == (11, 12)


def test_all_finalists_have_the_same_seeds_and_the_first_seed_comes_first(study, choose):
    seeds = choose(2, 2).seeds
    assert missing_repeats(study) == [(1, seeds[0]), (2, seeds[0]), (1, seeds[1]), (2, seeds[1])]


def test_a_training_starts_once(study, space, choose):
    seeds = choose(2, 1).seeds
    number = add_repeat(study, 1, seeds[0])
    assert number == 4
    assert missing_repeats(study) == [(2, seeds[0])]
    add_repeat(study, 2, seeds[0])
    assert missing_repeats(study) == []
    assert not are_trained(study), "two trainings are running"


def test_a_failed_training_is_not_started_once_more_and_an_unstarted_one_is(study, space, choose):
    (seed,) = choose(2, 1).seeds
    run_repeat(study, space, 1, seed, (0.5,), failure="the loss is nan")
    run_repeat(study, space, 2, seed, (), failure=NO_EPOCH)
    assert missing_repeats(study) == [(2, seed)]
    run_repeat(study, space, 2, seed, (0.5,), epochs=3)  # cut off after an epoch
    assert missing_repeats(study) == [(2, seed)]
    run_repeat(study, space, 2, seed, (0.5,), epochs=1)
    assert are_trained(study)


def test_without_a_choice_nothing_is_missing_or_trained(study):
    assert missing_repeats(study) == []
    assert not are_trained(study)


def test_the_trainings_are_no_trials_of_the_search(study, space, choose):
    (seed,) = choose(1, 1).seeds
    run_repeat(study, space, 1, seed, (0.5,), epochs=1)
    assert [trial.number for trial in repeat_trials(study)] == [4]
    assert (repeat_trials(study)[0].repeat_of, repeat_trials(study)[0].seed) == (1, seed)
    for trials in (search_trials(study), own_trials(study), ended_trials(study)):
        assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert len(all_trials(study)) == 5


def test_optuna_alone_opens_the_study(study, space, choose, tmp_path):
    (seed,) = choose(1, 1).seeds
    run_repeat(study, space, 1, seed, (0.5,), epochs=1)
    journal = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log"))
    opened = optuna.load_study(study_name=STUDY_NAME, storage=optuna.storages.JournalStorage(journal))
    repeat = opened.trials[4]
    assert (repeat.params, repeat.distributions) == (opened.trials[1].params, opened.trials[1].distributions)
    assert (repeat.state.name, repeat.value) == ("COMPLETE", 0.5)
    assert repeat.datetime_start <= repeat.datetime_complete
