"""The finalists' trainings in the searcher: when they begin, what they train, and how they resume."""

import pytest
from ray import cloudpickle
from ray.tune.search import Searcher

from decouple_search.ray_tune.finals import Finals
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.samplers.expectation import expected_values
from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.yaml_file import load_space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.opening import folder_at
from decouple_search.study.finalists import read_choice
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.record import repeat_trials
from decouple_search.study.resume import resumable_trial, resumable_trials
from tests.decouple_search.ray_tune.searchers import StubPromotions, make_searcher, suggest
from tests.decouple_search.ray_tune.stubs import epoch_dict, failure_dict


@pytest.fixture
def space(space_file):
    return load_space(space_file())


@pytest.fixture
def study(space, tmp_path):
    return open_study(tmp_path / "study.log", space)


@pytest.fixture
def make(study, space, tmp_path):
    """Make a searcher of two trials with finalists; each searcher is a run of the search."""

    def make(count=1, seeds=2, *, trials=2, slots=1, **options):
        plan, checkpoints = FinalistPlan(count, seeds), Checkpoints(folder_at(str(tmp_path)))
        finals = Finals(study, space.objective, plan, lambda: expected_values(study, space, 3), seed=0, used_seed=0)
        return make_searcher(
            study,
            space,
            trials=trials,
            slots=slots,
            finals=finals,
            resumable=resumable_trials(study, checkpoints, space, 3, 1),
            resume_point=lambda number: resumable_trial(study, checkpoints, space, number),
            **options,
        )

    return make


def train(searcher, name, value=0.5, epochs=3):
    """The next trial is proposed and trained; returns its specification."""
    spec = suggest(searcher, name)
    for epoch in range(1, epochs):
        searcher.on_trial_result(name, epoch_dict(epoch, value))
    searcher.on_trial_complete(name, epoch_dict(epochs, value))
    return spec


def test_the_finalists_follow_the_trials_with_the_same_parameters_and_fresh_seeds(make, study, capsys):
    searcher = make()
    searched = [train(searcher, "a", 0.6), train(searcher, "b", 0.4)]
    repeats = [train(searcher, "c"), train(searcher, "d")]
    assert searcher.suggest("e") == Searcher.FINISHED
    assert [(spec.number, spec.repeat_of) for spec in searched + repeats] == [(0, None), (1, None), (2, 0), (3, 0)]
    seeds = [spec.config["train.seed"] for spec in repeats]
    assert tuple(seeds) == read_choice(study).seeds
    assert all(spec.config == searched[0].config | {"train.seed": spec.config["train.seed"]} for spec in repeats)
    assert capsys.readouterr().out == "finalists  trials 0000, with 2 fresh seeds each: 2 trainings in full\n"
    assert not searcher.has_more()


def test_they_begin_when_the_last_trial_has_ended(make):
    searcher = make(slots=2)
    suggest(searcher, "a")
    train(searcher, "b")
    assert searcher.suggest("c") is None
    assert searcher.has_more()
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    assert suggest(searcher, "c").repeat_of is not None
    assert suggest(searcher, "d").repeat_of is not None
    assert searcher.suggest("e") is None


def test_they_are_no_trials_of_the_search(make):
    searcher = make()
    train(searcher, "a")
    train(searcher, "b")
    train(searcher, "c")
    assert searcher.proposed == make().proposed == 2


def test_they_follow_a_budget_that_is_used_up(make, study):
    searcher = make(trials=50, is_over=lambda: len(study.trials) >= 2)
    train(searcher, "a", 0.6)
    train(searcher, "b", 0.4, epochs=1)
    assert [train(searcher, name).repeat_of for name in "cd"] == [0, 0]
    assert searcher.suggest("e") == Searcher.FINISHED


def test_a_trial_that_waits_to_be_resumed_ends_with_a_budget_that_is_used_up(make, study):
    killed = make(trials=50)
    train(killed, "a", 0.6)
    suggest(killed, "b")
    killed.on_trial_result("b", epoch_dict(1, 0.9))
    searcher = make(trials=50, is_over=lambda: True)
    assert train(searcher, "x").repeat_of is not None
    assert study.trials[1].state.name == "PRUNED"


def test_a_search_whose_trials_all_failed_has_no_finalists(make):
    searcher = make()
    for name in "ab":
        suggest(searcher, name)
        searcher.on_trial_complete(name, failure_dict("the loss is nan"))
    assert searcher.suggest("c") == Searcher.FINISHED


def test_a_search_that_was_killed_in_the_middle_of_them_trains_each_once(make, study):
    killed = make()
    train(killed, "a", 0.6)
    train(killed, "b", 0.4)
    train(killed, "c")
    cut_off = suggest(killed, "d")
    killed.on_trial_result("d", epoch_dict(1, 0.5))
    resumed = make()
    assert resumed.has_more()
    first = suggest(resumed, "x")
    assert (first.number, first.repeat_of, first.config) == (3, 0, cut_off.config)
    resumed.on_trial_complete("x", epoch_dict(3, 0.5))
    assert resumed.suggest("y") == Searcher.FINISHED
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    assert not make().has_more()


def test_a_lost_training_is_proposed_once_more_with_its_seed(make, study):
    requeue = Requeue()
    searcher = make(requeue=requeue)
    train(searcher, "a", 0.6)
    train(searcher, "b", 0.4)
    lost = suggest(searcher, "c")
    requeue.mark("c")
    searcher.on_trial_complete("c", error=True)
    once_more = suggest(searcher, "d")
    assert (once_more.number, once_more.attempt, once_more.repeat_of) == (lost.number, 1, lost.repeat_of)
    assert once_more.config == lost.config
    assert searcher.proposed == 2


def test_an_ended_search_is_given_finalists_afterwards(make, study, space):
    searcher = make_searcher(study, space, trials=2, slots=1)
    train(searcher, "a", 0.6)
    train(searcher, "b", 0.4)
    assert searcher.suggest("c") == Searcher.FINISHED
    later = make()
    assert later.has_more()
    assert [train(later, name).repeat_of for name in "xy"] == [0, 0]
    more = make(count=2, seeds=2)
    assert [train(more, name).repeat_of for name in "vw"] == [1, 1]
    assert more.suggest("z") == Searcher.FINISHED
    assert len(repeat_trials(study)) == 4


def test_more_trials_after_the_finalists_are_trials_of_the_search(make, study):
    searcher = make()
    for name in "abcd":
        train(searcher, name, 0.5)
    longer = make(trials=3)
    third = train(longer, "x", 0.9)
    assert (third.number, third.repeat_of) == (4, None)
    assert [train(longer, name).repeat_of for name in "yz"] == [4, 4], "the finalists were not chosen anew"


def test_tune_can_pickle_a_searcher_with_finalists(make):
    assert cloudpickle.dumps(make())


def test_where_trials_pause_they_begin_when_none_of_them_goes_on(make, study):
    requeue, promotions = Requeue(), StubPromotions(study, 2, epochs=2)
    searcher = make(requeue=requeue, promotions=promotions)

    def pause(name, epoch, value):
        spec = suggest(searcher, name)
        searcher.on_trial_result(name, epoch_dict(epoch, value))
        requeue.pause(name)
        searcher.on_trial_complete(name, epoch_dict(epoch, value))
        return spec

    searched = [pause("a", 1, 0.6), pause("b", 1, 0.4), pause("c", 2, 0.7), pause("d", 2, 0.5)]
    assert [(spec.number, spec.repeat_of) for spec in searched] == [(0, None), (1, None)] * 2
    assert [trial.state.name for trial in study.trials] == ["RUNNING"] * 2
    assert searcher.has_more()
    assert [train(searcher, name).repeat_of for name in "ef"] == [0, 0]
    assert [trial.state.name for trial in study.trials] == ["PRUNED"] * 2 + ["COMPLETE"] * 2
    assert searcher.suggest("g") == Searcher.FINISHED
