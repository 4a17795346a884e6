"""Samplers by name: which go with which scheduler, and grids."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decouple_search.samplers.grid import GridSampler
from decouple_search.samplers.registry import SAMPLERS, choose_sampler
from decouple_search.space.yaml_file import load_space
from decouplenet.errors import InputError


@pytest.fixture(scope="module")
def two(space):
    return replace(space, objectives=(("val_map", "max"), ("parameters", "min")))


def test_what_suits_is_taken_where_none_is_named(space, two):
    assert choose_sampler(None, "asha", space, 0) == "gp"
    assert choose_sampler(None, "pbt", space, 0) == "random"
    assert choose_sampler(None, "asha", two, 0) == "tpe"


@pytest.mark.parametrize(
    ("name", "scheduler", "said"),
    [
        ("randon", "asha", "unknown 'randon'; did you mean 'random'"),
        ("gp", "pbt", "gp does not go with the scheduler pbt: pbt changes configurations by itself"),
        ("cmaes", "asha", "cmaes does not go with the scheduler asha: a stopped trial has no final value"),
        ("nsgaii", "hyperband", "nsgaii does not go with the scheduler hyperband"),
        ("grid", "none", "model.alpha has endless values; give it a step, or choices"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(space, name, scheduler, said):
    with pytest.raises(InputError, match=said):
        choose_sampler(name, scheduler, space, 0)


def test_cmaes_has_one_objective_and_seeds_have_a_range(space, two):
    with pytest.raises(InputError, match="cmaes has one objective"):
        choose_sampler("cmaes", "none", two, 0)
    with pytest.raises(InputError, match="--seed: -1"):
        choose_sampler("tpe", "none", space, -1)
    for name in set(SAMPLERS) - {"grid"}:
        assert choose_sampler(name, "none", space, 0) == name


def test_a_grid_has_each_combination_once_in_order(tmp_path):
    text = """
base: {model: {backbone: tiny, pretrained: false}}
search:
  model.attention: {choice: [none, arch1]}
  model.alpha: {float: [0.0, 1.0], step: 0.5}
  model.k_neg: {choice: [0.1, 0.2], when: {model.alpha: {gt: 0.6}}}
  model.maps_per_class: {int: [1, 3], step: 2}
"""
    file = tmp_path / "grid.yaml"
    file.write_text(text)
    space = load_space(file)
    points = space.grid()
    assert len(points) == 2 * (1 + 1 + 2) * 2
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)
    assert points[0] == {"model.attention": "none", "model.alpha": 0.0, "model.maps_per_class": 1}
    study = optuna.create_study(sampler=GridSampler(space))
    asked = [space.suggest(study.ask()) for _ in range(len(points) + 1)]
    assert asked == [*points, points[0]]


@given(seed=st.integers(0, 1000), width=st.floats(0.01, 0.5))
def test_what_is_drawn_is_in_the_space_and_so_are_its_neighbours(space, seed, width):
    rng = np.random.default_rng(seed)
    point = space.draw(rng)
    for one in (point, space.neighbour(point, rng, width)):
        assert ("model.k_neg" in one) == (one["model.alpha"] > 0.5)
        for parameter in space.parameters:
            if parameter.key in one:
                assert parameter.contains(one[parameter.key])
                assert parameter.distribution._contains(parameter.distribution.to_internal_repr(one[parameter.key]))
                if parameter.kind != "choice":
                    place = parameter.place(one[parameter.key])
                    assert parameter.at(place) == pytest.approx(one[parameter.key])
