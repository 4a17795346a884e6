"""Configurations as rows of numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple_search.samplers.encoding import Encoding
from decouple_search.space.domain import Choice, Float, Int
from decouple_search.space.space import Space

CONDITIONAL = Space(
    {
        "model.attention": Choice(["none", "arch1"]),
        "model.alpha": Float(0.0, 1.0, when={"model.attention": "arch1"}),
        "model.k_neg": Float(0.01, 1.0, log=True, when={"model.alpha": {"gt": 0.5}}),
        "model.maps_per_class": Int(1, 16, log=True, when={"data.format": "synthetic"}),
    },
    base={"model.pretrained": False, "data.format": "synthetic"},
)


def row(space, point):
    encoding = Encoding(space)
    return encoding.rows(encoding.units([point]))[0]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_units_stand_for_the_configuration_that_they_give(space, seed):
    for each in (space, CONDITIONAL):
        encoding = Encoding(each)
        units = encoding.draw(np.random.default_rng(seed), 20)
        points = [encoding.point(unit) for unit in units]
        assert encoding.rows(units) == pytest.approx(encoding.rows(encoding.units(points)))
        for point in points:
            assert all(each.parameter(key).contains(value) for key, value in point.items())
            assert each.present(point | {"data.format": "synthetic"} if each is CONDITIONAL else point) == point


def test_two_different_choices_are_at_distance_1():
    space = Space({"model.attention": Choice(["none", "arch1", "arch2"])}, base={"model.pretrained": False})
    rows = np.array([row(space, {"model.attention": value}) for value in ("none", "arch1", "arch2")])
    distances = ((rows[:, None] - rows[None]) ** 2).sum(2)
    assert distances == pytest.approx(1 - np.eye(3))


def test_an_absent_parameter_is_as_far_from_the_middle_of_its_range_as_from_its_ends():
    present = {"model.attention": "arch1", "model.maps_per_class": 4}
    absent = row(CONDITIONAL, {"model.attention": "none", "model.maps_per_class": 4})
    alpha = Encoding(CONDITIONAL).owners == 1
    for value in (0.0, 0.25, 0.5):
        other = row(CONDITIONAL, present | {"model.alpha": value})
        assert ((absent - other)[alpha] ** 2).sum() >= 1
    near, far = (row(CONDITIONAL, present | {"model.alpha": value}) for value in (0.2, 0.3))
    assert ((near - far)[alpha] ** 2).sum() < 0.05


def test_a_chosen_null_is_another_point_than_an_absent_parameter():
    space = Space(
        {
            "train.deepspeed_config": Choice([None, "a.json"], when={"model.attention": "arch1"}),
            "model.attention": Choice(["none", "arch1"]),
        },
        base={"model.pretrained": False},
    )
    chosen = row(space, {"model.attention": "arch1", "train.deepspeed_config": None})
    absent = row(space, {"model.attention": "none"})
    column = list(space.keys).index("train.deepspeed_config")
    assert not np.allclose(*(each[Encoding(space).owners == column] for each in (chosen, absent)))


def test_a_condition_on_an_absent_parameter_does_not_hold():
    """An absent choice has no column that is set, and what depends on it is absent too."""
    keys = ("model.head", "model.attention", "model.upsampling")
    space = Space(
        {
            keys[0]: Choice(["gap", "decouplenet"]),
            keys[1]: Choice(["none", "arch1"], when={keys[0]: "decouplenet"}),
            keys[2]: Choice(["none", "bilinear"], when={keys[1]: {"ne": "arch1"}}),
        },
        base={"model.pretrained": False},
    )
    assert Encoding(space).point(np.array([0.2, 0.2, 0.2])) == {"model.head": "gap"}
    rows = Encoding(space).rows(np.array([[0.2, 0.2, 0.2], [0.9, 0.2, 0.2], [0.9, 0.9, 0.9]]))
    set_columns = [np.bincount(Encoding(space).owners, weights=each > 0).tolist() for each in rows]
    assert set_columns == [[1, 0, 0], [1, 2, 2], [1, 2, 0]]


def test_neighbours_are_near_and_differ():
    encoding, rng = Encoding(CONDITIONAL), np.random.default_rng(0)
    units = encoding.draw(rng, 3)
    near = encoding.neighbours(units, 50, 0.02, rng)
    away = np.abs(near - np.repeat(units, 50, axis=0))[:, 1:]
    assert near.shape == (150, 4)
    assert 0 < away.max() < 0.12
    assert near.min() >= 0
    assert near.max() <= 1


def test_a_small_space_is_listed_in_full():
    space = Space(
        {"model.maps_per_class": Int(1, 4, log=True), "model.attention": Choice(["none", "arch1"])},
        base={"model.pretrained": False},
    )
    encoding = Encoding(space)
    listed = encoding.listed(8)
    points = {(p["model.maps_per_class"], p["model.attention"]) for p in map(encoding.point, listed)}
    assert points == {(maps, attention) for maps in (1, 2, 3, 4) for attention in ("none", "arch1")}
    assert encoding.listed(7) is None
    assert Encoding(CONDITIONAL).listed(10**9) is None, "a range without steps has endless values"
