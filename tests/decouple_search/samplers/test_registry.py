"""Samplers by name: which sampler goes with which scheduler, and what each trial gets."""

import optuna
import pytest

from decouple_search.samplers.registry import (
    EXTENSIONS,
    SAMPLERS,
    choose_sampler,
    make_sampler,
    predicts,
    register_sampler,
)
from decouple_search.space.domain import Choice, Float
from decouple_search.space.objective import Objective
from decouple_search.space.space import Space
from decouple_search.study.optuna_storage import open_study
from decouplenet.errors import InputError
from tests.decouple_search.results.studies import run_trial
from tests.decouple_search.spaces import varied


@pytest.fixture(scope="module")
def two_objectives(space):
    """The space with two objectives."""
    return varied(space, objectives=(Objective("val_map", "max"), Objective("parameters", "min")))


def test_without_a_name_the_sampler_suits_the_scheduler_and_the_objectives(space, two_objectives):
    assert choose_sampler(None, "promotion", space, 0) == choose_sampler(None, "asha", space, 0) == "gp"
    assert choose_sampler(None, "pbt", space, 0) == "random"
    assert choose_sampler(None, "asha", two_objectives, 0) == "tpe"
    assert choose_sampler(None, "asha", varied(space, sampler="random"), 0) == "random"


@pytest.mark.parametrize(
    ("name", "scheduler", "message"),
    [
        ("randon", "asha", "unknown 'randon'; did you mean 'random'"),
        ("gp", "pbt", "gp does not go with the scheduler pbt: pbt changes configurations itself"),
        ("cmaes", "asha", "cmaes does not go with the scheduler asha: a stopped trial has no final value"),
        ("nsgaii", "hyperband", "nsgaii does not go with the scheduler hyperband"),
        ("cmaes", "promotion", "cmaes does not go with the scheduler promotion: a paused trial has no final value"),
        ("nsgaii", "promotion", "nsgaii does not go with the scheduler promotion: a paused trial has no final value"),
        ("grid", "none", "model.alpha has endless values; give it a step, or choices"),
    ],
)
def test_a_sampler_that_does_not_fit_is_refused(space, name, scheduler, message):
    with pytest.raises(InputError, match=message):
        choose_sampler(name, scheduler, space, 0)


def test_cmaes_has_one_objective_and_seeds_have_a_range(space, two_objectives):
    with pytest.raises(InputError, match="cmaes has one objective"):
        choose_sampler("cmaes", "none", two_objectives, 0)
    with pytest.raises(InputError, match="--seed: -1"):
        choose_sampler("tpe", "none", space, -1)
    for name in set(SAMPLERS) - {"grid"}:
        assert choose_sampler(name, "none", space, 0) == name


def test_a_trials_sampler_follows_from_the_seed_and_its_number_alone(space):
    def proposal(seed, number):
        study = optuna.create_study(sampler=make_sampler("random", space, 9, seed, number))
        return space.suggest(study.ask())

    assert proposal(0, 3) == proposal(0, 3)
    assert proposal(0, 3) != proposal(0, 4)
    assert proposal(0, 3) != proposal(1, 3)


def test_only_the_gaussian_process_of_one_objective_predicts_learning_curves(space, two_objectives):
    assert [name for name in SAMPLERS if predicts(name, space)] == ["gp"]
    assert [name for name in SAMPLERS if predicts(name, two_objectives)] == []


@pytest.fixture
def calls(registries):
    """The arguments that a user's own sampler, `mine`, was made with."""
    calls = []

    @register_sampler("mine")
    def make(space, epochs, seed):
        calls.append((space, epochs, seed))
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=2)

    assert EXTENSIONS.get("mine") is make
    return calls


def test_a_users_sampler_is_chosen_by_its_name(space, two_objectives, calls):
    for scheduler in ("promotion", "asha", "hyperband", "median", "none"):
        assert choose_sampler("mine", scheduler, space, 0) == "mine"
    assert choose_sampler(None, "asha", varied(space, sampler="mine"), 0) == "mine"
    assert choose_sampler("mine", "asha", two_objectives, 0) == "mine"
    with pytest.raises(InputError, match="--sampler: mine does not go with the scheduler pbt: pbt changes"):
        choose_sampler("mine", "pbt", space, 0)
    with pytest.raises(InputError, match="--seed: -1 is out of range"):
        choose_sampler("mine", "asha", space, -1)
    assert calls == []


def test_each_trial_gets_what_a_users_sampler_makes_from_a_seed_of_its_own(space, calls):
    sampler = make_sampler("mine", space, 9, seed=5, number=3)
    assert isinstance(sampler, optuna.samplers.TPESampler)
    for seed, number in ((5, 3), (5, 4), (6, 3)):
        make_sampler("mine", space, 7, seed, number)
    assert [(given, epochs) for given, epochs, _ in calls] == [(space, 9), (space, 7), (space, 7), (space, 7)]
    first, same, *others = [seed for _, _, seed in calls]
    assert first == same
    assert len({first, *others}) == 3
    assert not predicts("mine", space)


def test_a_sampler_of_an_installed_package(space, install):
    source = "import optuna\n\ndef mine(space, epochs, seed):\n    return optuna.samplers.RandomSampler(seed)\n"
    install("user_samplers", source, "decouple_search.samplers", packaged="user_samplers:mine")
    assert choose_sampler("packaged", "asha", space, 0) == "packaged"
    assert isinstance(make_sampler("packaged", space, 9, 0, 0), optuna.samplers.RandomSampler)
    with pytest.raises(InputError, match=r"unknown 'package'; did you mean 'packaged'\? .*'decouple_search.samplers'"):
        choose_sampler("package", "asha", space, 0)


def test_a_built_in_sampler_cannot_be_replaced(registries):
    with pytest.raises(ValueError, match="--sampler: 'tpe' is a name of the project itself; choose another name"):
        register_sampler("tpe")(print)


def test_a_users_sampler_that_fails_is_an_input_error(space, registries):
    @register_sampler("failing")
    def fail(space, epochs, seed):
        return {}["missing"]

    register_sampler("empty")(lambda space, epochs, seed: None)
    with pytest.raises(InputError, match=rf"^--sampler: 'failing' failed \(KeyError: 'missing'; {__file__}:\d+\)$"):
        make_sampler("failing", space, 9, 0, 0)
    with pytest.raises(InputError, match="^--sampler: 'empty' made NoneType; it must make a sampler"):
        make_sampler("empty", space, 9, 0, 0)


@pytest.mark.parametrize(
    ("name", "objectives"),
    [
        *((name, ("val_map",)) for name in SAMPLERS),
        *((name, ("val_map", "parameters")) for name in SAMPLERS if name != "cmaes"),  # which has one objective
    ],
)
def test_every_sampler_proposes_null_like_other_choices(name, objectives, tmp_path):
    keys = ("train.deepspeed_config", "data.label_separator")
    searched = {keys[0]: Choice([None, "a.json"]), keys[1]: Choice([None, ";"], when={keys[0]: None})}
    ranges = {"model.alpha": Float(0, 1), "optim.lr": Float(1e-3, 0.1, log=True)} if name != "grid" else {}
    space = Space(searched | ranges, base={"model.pretrained": False}, objective=[{"metric": m} for m in objectives])
    study, seen = open_study(tmp_path / "study.log", space), set()
    for number in range(24):
        study.sampler = make_sampler(name, space, 3, 0, number)
        log = run_trial(study, space, (0.1, 0.2, 0.3 + number % 5 / 10), parameters=float(number % 3))
        point = log.record.parameters
        seen.add(tuple(point.get(key, "absent") for key in keys))
    assert seen == {(None, None), (None, ";"), ("a.json", "absent")}
