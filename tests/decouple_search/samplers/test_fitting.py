"""The fit of the model: which bend the values get, when the fit is made anew, and what it starts from."""

import numpy as np
import pytest

from decouple_search.samplers import fitting
from decouple_search.samplers.curves import Observations
from decouple_search.samplers.warp import BENDS
from decouple_search.study.record import Fit

TRIALS = 40
OWNERS = np.arange(2)


def rows():
    return np.random.default_rng(0).uniform(size=(TRIALS, 2))


def smooth(points):
    """Values of a smooth function, as normal as they come."""
    return np.sin(3 * points[:, 0]) + np.cos(2 * points[:, 1])


def observed(values):
    return Observations(np.arange(TRIALS), np.full(TRIALS, 1), values)


def last_fit(fitted, count=TRIALS):
    return Fit(count, ["a", "b"], fitted.model.hyperparameters.vector.tolist(), fitted.warp.bend)


def test_values_that_crowd_near_the_best_get_a_small_bend_and_smooth_ones_none():
    value = smooth(rows())
    value -= value.max()
    assert fitting.fit(rows(), OWNERS, observed(value), 9, None).warp.bend in (None, 1.0)
    crowded = 1 - np.exp(-2.5 * (value - value.min()))
    assert fitting.fit(rows(), OWNERS, observed(crowded), 9, None).warp.bend in (0.1, 0.03)


def test_a_fit_stands_until_there_are_a_fifth_more_observations():
    first = fitting.fit(rows(), OWNERS, observed(smooth(rows())), 9, None)
    assert first.is_new
    standing = fitting.fit(rows(), OWNERS, observed(smooth(rows())), 9, last_fit(first, count=34))
    assert not standing.is_new
    assert standing.warp == first.warp
    assert standing.model.hyperparameters.vector == pytest.approx(first.model.hyperparameters.vector)
    assert fitting.fit(rows(), OWNERS, observed(smooth(rows())), 9, last_fit(first, count=33)).is_new
    assert fitting.fit(rows(), OWNERS, observed(smooth(rows())), 9, last_fit(first, count=41)).is_new


def test_a_later_fit_tries_the_bends_next_to_the_last_one_for_the_same_observations(monkeypatch):
    tried = []

    class Recorded(fitting.EpochModel):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            tried.append((options["start"], self.fit_to))

    monkeypatch.setattr(fitting, "EpochModel", Recorded)
    values = observed(smooth(rows()))
    first = fitting.fit(rows(), OWNERS, values, 9, None)
    assert [start for start, _ in tried] == [None] * len(BENDS)
    assert all(fit_to is tried[0][1] for _, fit_to in tried)
    for bend, count in ((None, 2), (0.3, 3), (0.03, 2)):
        tried.clear()
        last = Fit(10, ["a", "b"], first.model.hyperparameters.vector.tolist(), bend)
        fitting.fit(rows(), OWNERS, values, 9, last)
        assert len(tried) == count
        assert all(start.vector == pytest.approx(np.array(last.theta)) for start, _ in tried)
