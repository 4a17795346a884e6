"""Configurations drawn from a space, and positions of values in their ranges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st


@given(seed=st.integers(0, 1000), width=st.floats(0.01, 0.5))
def test_drawn_configurations_and_their_neighbours_are_in_the_space(space, seed, width):
    rng = np.random.default_rng(seed)
    drawn = space.draw(rng)
    for point in (drawn, space.neighbour(drawn, rng, width)):
        assert ("model.k_neg" in point) == (point["model.alpha"] > 0.5)
        for parameter in space.parameters:
            if parameter.key in point:
                value, distribution = point[parameter.key], parameter.distribution
                assert parameter.contains(value)
                assert distribution._contains(distribution.to_internal_repr(value))
                if parameter.kind != "choice":
                    assert parameter.value_at(parameter.position(value)) == pytest.approx(value)


def test_the_keys_of_a_space_are_those_of_its_parameters(space):
    assert space.keys == tuple(parameter.key for parameter in space.parameters)
    assert set(space.keys) == {
        "model.maps_per_class", "model.attention", "model.alpha", "model.k_neg", "optim.lr", "optim.momentum",
        "train.batch_size",
    }  # fmt: skip
