"""Expected improvement, and the configuration that has the largest."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from decouple_search.samplers.encoding import Encoding
from decouple_search.samplers.improvement import Candidates, log_improvement
from decouple_search.space.domain import Choice, Int
from decouple_search.space.space import Space

SMALL = Space(
    {"model.maps_per_class": Int(1, 5), "model.attention": Choice(["none", "arch1"])},
    base={"model.pretrained": False},
)


@pytest.mark.parametrize(("mean", "deviation", "best"), [(0.5, 0.1, 0.4), (0.2, 0.1, 0.5), (0.0, 1.0, 0.0)])
def test_the_improvement_is_the_integral_that_it_stands_for(mean, deviation, best):
    density = norm(mean, deviation).pdf
    expected = quad(lambda value: (value - best) * density(value), best, mean + 12 * deviation)[0]
    improvement = np.exp(log_improvement(np.array([mean]), np.array([deviation]), best))
    assert improvement == pytest.approx(expected, rel=1e-6)


def test_the_improvement_of_a_hopeless_configuration_still_has_an_order():
    values = log_improvement(np.array([-30.0, -25.0, -21.0, -19.0]), np.ones(4), 0.0)
    assert np.isfinite(values).all()
    assert (np.diff(values) > 0).all()
    here, there = log_improvement(np.array([-20.001, -19.999]), np.ones(2), 0.0)
    assert there - here == pytest.approx(0.04, abs=0.01), "the two forms do not meet"


def rows_of(points):
    encoding = Encoding(SMALL)
    return encoding.rows(encoding.units(points))


def test_no_configuration_is_proposed_twice_until_all_were():
    encoding, rng, tried = Encoding(SMALL), np.random.default_rng(0), []
    target = rows_of([{"model.maps_per_class": 3, "model.attention": "arch1"}])[0]

    def score(rows):
        return -((rows - target) ** 2).sum(1)

    for turn in range(10):
        taken = rows_of(tried) if tried else np.zeros((0, 3))
        candidates = Candidates(encoding, taken, rng)
        around = encoding.units(tried[:6]) if tried else np.zeros((0, 2))
        tried.append(candidates.random() if turn % 3 == 2 else candidates.best(score, around))
    assert len({tuple(point.items()) for point in tried}) == 10
    assert tried[0] == {"model.maps_per_class": 3, "model.attention": "arch1"}
    assert Candidates(encoding, rows_of(tried), rng).best(score, encoding.units(tried)) == tried[0]


def test_the_best_is_looked_for_near_good_configurations(space):
    encoding, rng = Encoding(space), np.random.default_rng(0)
    good = encoding.draw(rng, 1)
    target = encoding.rows(good)[0]
    candidates = Candidates(encoding, np.zeros((0, len(target))), rng)
    point = candidates.best(lambda rows: -((rows - target) ** 2).sum(1), good)
    found = encoding.rows(encoding.units([point]))[0]
    assert 0 < np.abs(found - target).max() < 0.1
