"""Costs of an epoch."""

import math

import numpy as np
import pytest

from decouple_search.samplers import costs
from decouple_search.samplers.costs import EpochCosts

OWNERS = np.array([0, 1])


def costs_of(factor, count=40, spread=0.0):
    """Costs that grow by a factor along the first of two parameters."""
    rng = np.random.default_rng(0)
    rows = rng.random((count, 2))
    return EpochCosts(rows, OWNERS, 3.0 * factor ** rows[:, 0] * np.exp(spread * rng.standard_normal(count)))


def test_costs_within_a_factor_of_two_of_the_median_count_as_the_median():
    assert (costs_of(1.8, spread=0.1).log_divisors(np.random.default_rng(1).random((50, 2))) == 0).all()


def test_a_few_slow_epochs_are_no_cost_of_their_configurations():
    rows, seconds = np.random.default_rng(0).random((40, 2)), np.full(40, 3.0)
    slow = np.argsort(-rows[:, 0])
    seconds[slow[:4]] = 30.0
    assert (EpochCosts(rows, OWNERS, seconds).log_divisors(rows) == 0).all()
    seconds[slow[:8]] = 30.0
    assert (EpochCosts(rows, OWNERS, seconds).log_divisors(rows[slow[:4]]) > 0.1).all()


@pytest.mark.parametrize("count", [40, 1000])
def test_costs_beyond_count_from_there(count):
    ends = np.array([[0.02, 0.5], [0.5, 0.5], [0.98, 0.5]])
    low, middle, high = costs_of(100.0, count, spread=0.05).log_divisors(ends)
    assert low == pytest.approx(0.5 * (-0.48 * math.log(100) + math.log(2)), abs=0.2)
    assert middle == 0
    assert high == pytest.approx(0.5 * (0.48 * math.log(100) - math.log(2)), abs=0.2)


def test_a_single_duration_says_nothing():
    assert EpochCosts(np.array([[0.5, 0.5]]), OWNERS, np.array([7.0])).log_divisors(np.zeros((3, 2))).tolist() == [
        0,
        0,
        0,
    ]


def test_of_many_durations_some_are_taken_and_the_ends_among_them(monkeypatch):
    taken = []
    real = costs.EpochModel
    monkeypatch.setattr(costs, "EpochModel", lambda *given: taken.append(given[2].values) or real(*given))
    costs_of(100.0, 1000)
    assert len(taken[0]) == costs.TAKEN
    assert taken[0].max() - taken[0].min() > 0.99 * math.log(100)
