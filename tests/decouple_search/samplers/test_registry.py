"""Samplers by name: which sampler goes with which scheduler, and what each trial gets."""

from dataclasses import replace

import optuna
import pytest

from decouple_search.samplers.registry import SAMPLERS, choose_sampler, make_sampler, make_stop_veto
from decouple_search.space.objective import Objective
from decouplenet.errors import InputError


@pytest.fixture(scope="module")
def two_objectives(space):
    """The space with two objectives."""
    return replace(space, objectives=(Objective("val_map", "max"), Objective("parameters", "min")))


def test_without_a_name_the_sampler_suits_the_scheduler_and_the_objectives(space, two_objectives):
    assert choose_sampler(None, "asha", space, 0) == "gp"
    assert choose_sampler(None, "pbt", space, 0) == "random"
    assert choose_sampler(None, "asha", two_objectives, 0) == "tpe"
    assert choose_sampler(None, "asha", replace(space, sampler="random"), 0) == "random"


@pytest.mark.parametrize(
    ("name", "scheduler", "message"),
    [
        ("randon", "asha", "unknown 'randon'; did you mean 'random'"),
        ("gp", "pbt", "gp does not go with the scheduler pbt: pbt changes configurations itself"),
        ("cmaes", "asha", "cmaes does not go with the scheduler asha: a stopped trial has no final value"),
        ("nsgaii", "hyperband", "nsgaii does not go with the scheduler hyperband"),
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


def test_only_the_sampler_that_predicts_the_last_epoch_vetoes_stops(space, two_objectives):
    study = optuna.create_study(direction="maximize")
    assert make_stop_veto("gp", space, 9, study) is not None
    assert make_stop_veto("gp", two_objectives, 9, study) is None
    for name in set(SAMPLERS) - {"gp"}:
        assert make_stop_veto(name, space, 9, study) is None
