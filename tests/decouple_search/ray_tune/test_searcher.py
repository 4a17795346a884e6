"""The study as Tune's searcher: what it proposes."""

import json

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from decouple_search.ray_tune.proposals import Proposals
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.searcher import StudySearcher
from decouple_search.samplers.registry import SAMPLERS, make_sampler
from decouple_search.space.domain import Float
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.ranges import RangeWatch
from decouple_search.study.resume import ResumableTrial
from decouplenet.command_line import parse_config
from decouplenet.dotted_keys import flatten
from tests.decouple_search.ray_tune.searchers import (
    base_config,
    make_searcher,
    new_study,
    suggest,
)
from tests.decouple_search.ray_tune.stubs import epoch_dict


@pytest.fixture
def space(space_file):
    return load_space(space_file())


def test_a_proposed_configuration_is_complete_and_the_start_point_comes_first(searcher):
    first = suggest(searcher, "a")
    assert first.number == 0
    assert first.config["model.maps_per_class"] == 2
    assert first.config["model.alpha"] == 0.1
    assert set(first.config) == set(flatten(parse_config({}).to_dict()))
    assert (first.checkpoint, first.attempt, first.given_up) == (None, 0, None)


def test_a_specification_has_the_objectives_of_the_space(searcher, space):
    assert suggest(searcher, "a").objectives == space.objectives


def test_it_proposes_as_many_trials_as_there_are_slots_and_as_many_as_the_search_has(searcher):
    assert searcher.suggest("a")
    assert searcher.suggest("b")
    assert searcher.suggest("c") is None
    for ended, following in (("a", "c"), ("b", "d")):
        searcher.on_trial_complete(ended, epoch_dict(3, 0.5))
        assert searcher.suggest(following)
    assert searcher.suggest("e") is None


def test_it_is_finished_only_after_the_last_trial_has_ended(study, space):
    searcher = make_searcher(study, space, trials=2, slots=2)
    assert searcher.suggest("a")
    assert searcher.suggest("b")
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("b", epoch_dict(3, 0.5))
    assert searcher.suggest("c") == Searcher.FINISHED


def test_results_of_a_trial_that_has_ended_are_ignored(searcher, study):
    searcher.suggest("a")
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    searcher.on_trial_result("a", epoch_dict(4, 0.9))
    searcher.on_trial_complete("a", epoch_dict(4, 0.9))
    assert study.trials[0].intermediate_values == {3: 0.5}


def test_a_requeued_trial_is_proposed_once_more_from_its_checkpoint(study, space):
    requeue = Requeue()
    searcher = make_searcher(
        study,
        space,
        trials=2,
        slots=2,
        requeue=requeue,
        resume_point=lambda number: ResumableTrial(number, "its checkpoint", {"optim.lr": 0.005}),
    )
    first = suggest(searcher, "a")
    assert suggest(searcher, "b").number == 1
    requeue.mark("a")
    searcher.on_trial_complete("a", error=True)
    assert study.trials[0].state.name == "RUNNING"
    requeued = suggest(searcher, "c")
    assert (requeued.number, requeued.checkpoint, requeued.attempt) == (0, "its checkpoint", 1)
    assert requeued.config == first.config | {"optim.lr": 0.005}  # the values that the checkpoint was trained with
    searcher.on_trial_complete("c", epoch_dict(3, 0.5))
    searcher.on_trial_complete("b", error=True)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL"]


def test_the_number_of_slots_may_change(study, space):
    slots = [1]
    searcher = make_searcher(study, space, trials=2, slots=lambda: slots[0])
    assert searcher.suggest("a")
    assert searcher.suggest("b") is None
    slots[0] = 2  # a machine has joined
    assert suggest(searcher, "b").number == 1


def test_end_running_ends_started_and_waiting_trials(searcher, study, space):
    searcher.suggest("a")
    searcher.suggest("b")
    searcher.on_trial_result("a", epoch_dict(1, 0.3))
    assert searcher.running == 2
    resumable = [ResumableTrial(number, None, {}) for number in (0, 1)]
    resumed = make_searcher(study, space, trials=2, slots=1, resumable=resumable)
    resumed.suggest("x")  # and the other trial waits to be resumed
    resumed.end_running()
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED, TrialState.FAIL]
    assert resumed.running == 0


def test_incomplete_start_points_are_filled_in_differently(space_file, tmp_path):
    points = "\n".join(f"  - {{model.maps_per_class: {maps}}}" for maps in (1, 2, 3))
    old = "  - {model.maps_per_class: 2, model.alpha: 0.1, model.k_neg: 0.2}"
    space = load_space(space_file((old, points)))
    study = new_study(tmp_path / "start.log", space)
    searcher = make_searcher(study, space, trials=4, slots=4, sampler="gp")
    rates = [suggest(searcher, name).config["optim.lr"] for name in "abcd"]
    assert len(set(rates)) == 4


def test_trials_of_an_earlier_run_are_resumed_first_and_proposed_once(searcher, study, space):
    proposed = [suggest(searcher, name).config for name in "ab"]
    searcher.on_trial_result("a", epoch_dict(1, 0.3))
    searcher.on_trial_complete("b", epoch_dict(3, 0.2))
    del searcher  # the process is killed
    resumable = [ResumableTrial(0, "checkpoint", {"optim.lr": 0.005})]
    resumed = make_searcher(study, space, trials=4, slots=1, resumable=resumable)
    assert (resumed.proposed, resumed.running) == (1, 1)
    first = suggest(resumed, "x")
    assert (first.number, first.checkpoint, first.attempt) == (0, "checkpoint", 0)
    assert first.config == proposed[0] | {"optim.lr": 0.005}
    resumed.on_trial_result("x", epoch_dict(1, 0.3))  # trained a second time
    resumed.on_trial_result("x", epoch_dict(2, 0.4))
    resumed.on_trial_complete("x", epoch_dict(3, 0.5))
    assert study.trials[0].intermediate_values == {1: 0.3, 2: 0.4, 3: 0.5}
    for number in (2, 3):
        assert suggest(resumed, str(number)).number == number
        resumed.on_trial_complete(str(number), epoch_dict(3, 0.1))
    assert resumed.suggest("z") == Searcher.FINISHED
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4


def test_a_trial_that_the_study_has_without_parameters_is_proposed(study, space):
    """The search was killed after it asked the study, and before it proposed the trial."""
    study.sampler = make_sampler("random", space, 3, 0, 0)
    study.ask()
    resumable = [ResumableTrial(0, None, {})]
    config = suggest(make_searcher(study, space, trials=1, slots=1, resumable=resumable), "x").config
    assert {key: config[key] for key in study.trials[0].params} == study.trials[0].params
    assert config["model.maps_per_class"] == 2  # the start point's


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_the_seed_decides_what_is_proposed(space, tmp_path, sampler):
    """Also where the search is resumed after each trial."""
    proposals = []
    for resumed in (False, True):
        file = tmp_path / f"{sampler}-{resumed}.log"
        study = new_study(file, space)
        searcher = make_searcher(study, space, trials=15, slots=1, sampler=sampler, seed=7)
        for i in range(15):
            if resumed:
                study = open_study(file, space)
                searcher = make_searcher(study, space, trials=15, slots=1, sampler=sampler, seed=7)
            values = suggest(searcher, str(i)).config
            searcher.on_trial_complete(str(i), epoch_dict(3, values["optim.lr"] * 50 + values["model.alpha"] / 10))
        proposals.append([trial.params for trial in study.trials])
    assert proposals[0] == proposals[1]
    assert proposals[0][3] != proposals[0][4]


def test_the_saved_state_names_the_running_trials(searcher, tmp_path):
    for name in "ab":
        searcher.suggest(name)
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    searcher.save(str(tmp_path / "state.json"))
    assert json.loads((tmp_path / "state.json").read_text()) == {"proposed": 2, "running": {"b": 1}}


def growing_searcher(study, space, *, trials, resumable=()):
    """A searcher whose ranges grow, as `search_run` makes it."""
    watch = RangeWatch(study, space, str)

    def prepare(number):
        study.sampler = make_sampler("random", watch.before(number), 3, 0, number)

    proposals = Proposals(trials=trials, slots=lambda: 2, prepare=prepare, space_of=watch.space_of, resumable=resumable)
    return StudySearcher(study, space, base_config(space), proposals)


def rate_of(study, number):
    """The range of the rate that a trial was proposed in."""
    distribution = study.trials[number].distributions["optim.lr"]
    return distribution.low, distribution.high


@pytest.mark.filterwarnings("error::RuntimeWarning")  # Optuna's, of another range for the same trial
def test_ranges_grow_between_trials_and_a_resumed_trial_keeps_its_range(tmp_path):
    rate = Float(1e-4, 1e-2, log=True, grow=True)
    space = Space({"optim.lr": rate}, base={"model.pretrained": False}, start=[{"optim.lr": 9e-3}] * 10)
    study = new_study(tmp_path / "study.log", space)
    searcher = growing_searcher(study, space, trials=12)
    for number in range(10):
        assert suggest(searcher, str(number)).config["optim.lr"] == 9e-3
        if number < 9:
            searcher.on_trial_complete(str(number), epoch_dict(3, 0.5))
    assert suggest(searcher, "10").number == 10
    assert rate_of(study, 10) == (1e-4, 1e-2)  # nine trials have ended
    searcher.on_trial_complete("9", epoch_dict(3, 0.5))
    assert suggest(searcher, "11").number == 11
    assert [rate_of(study, number) for number in (9, 10, 11)] == [(1e-4, 1e-2)] * 2 + [(1e-4, 0.1)]

    reopened = open_study(tmp_path / "study.log", space)
    start = [ResumableTrial(number, None, {}) for number in (10, 11)]
    resumed = growing_searcher(reopened, space, trials=12, resumable=start)
    rates = [study.trials[number].params["optim.lr"] for number in (10, 11)]
    assert [suggest(resumed, name).config["optim.lr"] for name in "ab"] == rates
