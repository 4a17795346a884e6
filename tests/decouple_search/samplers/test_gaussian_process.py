"""The Gaussian process over configurations and epochs."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from decouple_search.samplers.gaussian_process import EpochModel, Observation, encode, typical_curve
from tests.decouple_search.made_up import curve_of


def observed(space, count, seed=0, epochs=9):
    rng = np.random.default_rng(seed)
    points = [space.draw(rng) for _ in range(count)]
    return [Observation(p, e, curve_of(p, e)) for i, p in enumerate(points) for e in ((1, 2, 4, epochs)[: 1 + i % 4])]


def test_the_gradient_of_the_fit_is_right(space, monkeypatch):
    caught = {}

    def minimize(loss, start, **options):
        caught.update(loss=loss, start=start)
        return type("Found", (), {"x": start})

    monkeypatch.setattr("decouple_search.samplers.gaussian_process.minimize", minimize)
    EpochModel(space, observed(space, 15), 9)
    for shift in (0.0, 0.3, -0.4):
        at = caught["start"] + shift
        error = check_grad(lambda x: caught["loss"](x)[0], lambda x: caught["loss"](x)[1], at)
        assert error < 1e-3 * np.linalg.norm(caught["loss"](at)[1])


def test_the_model_foretells_the_last_epoch_from_early_ones(space):
    """Of configurations that it saw one epoch of, and of others."""
    model = EpochModel(space, observed(space, 60), 9)
    rng = np.random.default_rng(1)
    new = [space.draw(rng) for _ in range(200)]
    mean, deviation = model._predict(np.stack([encode(space, point) for point in new]))
    truth = np.array([curve_of(point, 9) for point in new])
    assert np.corrcoef(mean, truth)[0, 1] > 0.9
    errors = (truth - truth.mean()) / truth.std() - (mean - mean.mean()) / mean.std()
    assert np.abs(errors).mean() < 0.5
    assert (deviation > 0).all()


def test_typical_curve_is_not_that_of_the_survivors():
    good, bad = {"a": 1}, {"a": 2}
    known = [Observation(good, 1, 0.5), Observation(good, 3, 0.7), Observation(bad, 1, 0.1)]
    assert typical_curve(known, 4) == pytest.approx([0.3, 0.3, 0.4, 0.5, 0.5])
