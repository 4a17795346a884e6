"""The warp of values: rising, invertible, and steepest near the best value where there is a bend."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decouple_search.samplers.warp import BENDS, Warp

VALUES = np.concatenate([np.linspace(-3.0, 0.1, 20), np.linspace(0.6, 0.8, 80)])


@pytest.mark.parametrize("bend", BENDS)
def test_a_warp_rises_and_its_inverse_restores_values_also_beyond_those_that_it_knows(bend):
    warp = Warp.over(VALUES, bend)
    values = np.linspace(-5.0, 1.5, 600)
    warped = warp.warped(values)
    assert (np.diff(warped) > 0).all()
    assert warp.restored(warped) == pytest.approx(values, abs=1e-9)


@given(
    values=st.lists(st.floats(-1e3, 1e3).map(lambda value: round(value, 3)), min_size=1, max_size=20),
    bend=st.sampled_from(BENDS),
)
def test_any_values_can_be_warped_and_restored(values, bend):
    known = np.array(values)
    warp = Warp.over(known, bend)
    assert np.isfinite(warp.warped(known)).all()
    assert warp.restored(warp.warped(known)) == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize("bend", BENDS)
def test_slopes_are_those_of_the_warp(bend):
    warp = Warp.over(VALUES, bend)
    values, step = np.linspace(-1.0, 0.9, 50), 1e-7
    numeric = (warp.warped(values + step) - warp.warped(values - step)) / (2 * step)
    assert np.exp(warp.log_slopes(values)) == pytest.approx(numeric * (warp.high - warp.low), rel=1e-4)


def test_the_smaller_the_bend_the_more_the_best_values_are_stretched():
    def share_of_the_top(bend):
        low, middle, high = Warp.over(VALUES, bend).warped(np.array([0.1, 0.75, 0.8]))
        return (high - middle) / (high - low)

    shares = [share_of_the_top(bend) for bend in BENDS]
    assert shares == sorted(shares)
    assert shares[-1] > 2 * shares[0]
