"""The Gaussian process over configurations and epochs."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from decouple_search.samplers.gaussian_process import EpochModel, Observation, distances, encode, typical_curve
from decouple_search.samplers.kernel import Hyperparameters, Prior, kernel, posterior_loss
from decouple_search.space.domain import Choice
from decouple_search.space.space import Space
from tests.decouple_search.formula import formula_value


def observe(space, count, seed=0, epochs=9):
    """Observations of random configurations, of which some were trained longer than others."""
    rng = np.random.default_rng(seed)
    points = [space.draw(rng) for _ in range(count)]
    return [
        Observation(point, epoch, formula_value(point, epoch))
        for i, point in enumerate(points)
        for epoch in (1, 2, 4, epochs)[: 1 + i % 4]
    ]


def test_the_gradient_of_the_fit_is_right(space, monkeypatch):
    captured = {}

    def minimize(loss, start, **options):
        captured.update(loss=loss, start=start)
        return type("Result", (), {"x": start})

    monkeypatch.setattr("decouple_search.samplers.gaussian_process.minimize", minimize)
    EpochModel(space, observe(space, 15), 9)
    loss = captured["loss"]
    for shift in (0.0, 0.3, -0.4):
        theta = captured["start"] + shift
        error = check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], theta)
        assert error < 1e-3 * np.linalg.norm(loss(theta)[1])


def test_a_covariance_that_is_not_positive_definite_has_a_very_high_loss():
    theta, prior = np.array([0.0, -40.0, 0.0, 0.0, 0.0]), Prior(np.zeros(5), np.ones(5))
    apart = np.array([[[100.0, 0.0], [0.0, 100.0]]])  # each point is far from itself and equal to the other
    loss, gradient = posterior_loss(theta, np.ones(2), apart, np.zeros((2, 2)), prior)
    assert loss == 1e10
    assert (gradient == 0).all()


def test_hyperparameters_are_read_from_a_vector_on_their_scales():
    hyperparameters = Hyperparameters.from_vector(np.log([0.5, 2.0, 0.01, 3.0, 0.7, 4.0]))
    assert hyperparameters.log_lengths == pytest.approx(np.log([0.5, 2.0]))
    assert hyperparameters.noise == pytest.approx(0.01)
    assert hyperparameters.floor == pytest.approx(0.75)
    assert hyperparameters.epoch_scale == pytest.approx(0.7)
    assert hyperparameters.variance == pytest.approx(4.0)


def test_the_kernel_falls_with_the_distance_and_over_epochs_to_its_floor(space):
    points = [each.point for each in observe(space, 2) if each.epoch == 1]
    x = np.stack([encode(space, point) for point in points])
    hyperparameters = Hyperparameters.from_vector(np.log([1.0] * x.shape[1] + [0.01, 3.0, 0.1, 2.0]))
    near, far = np.zeros((2, 2)), np.full((2, 2), 100.0)
    covariance = kernel(hyperparameters, distances(space, x, x), near).covariance
    assert np.diag(covariance) == pytest.approx(2.0)
    assert covariance[0, 1] == pytest.approx(covariance[1, 0])
    assert 0 < covariance[0, 1] < 2.0
    covariance = kernel(hyperparameters, distances(space, x, x), far).covariance
    assert np.diag(covariance) == pytest.approx(2.0 * 0.75)


def test_the_model_predicts_the_last_epoch_from_early_ones(space):
    """Of other configurations than those that it was fitted to, which were mostly trained for a part of the epochs."""
    model = EpochModel(space, observe(space, 60), 9)
    rng = np.random.default_rng(1)
    new = [space.draw(rng) for _ in range(200)]
    mean, deviation = model._predict(np.stack([encode(space, point) for point in new]))
    truth = np.array([formula_value(point, 9) for point in new])
    assert np.corrcoef(mean, truth)[0, 1] > 0.9
    errors = (truth - truth.mean()) / truth.std() - (mean - mean.mean()) / mean.std()
    assert np.abs(errors).mean() < 0.5
    assert (deviation > 0).all()


def test_the_typical_curve_is_not_that_of_the_trials_that_were_not_stopped():
    good, bad = {"a": 1}, {"a": 2}
    observations = [Observation(good, 1, 0.5), Observation(good, 3, 0.7), Observation(bad, 1, 0.1)]
    assert typical_curve(observations, 4) == pytest.approx([0.3, 0.3, 0.4, 0.5, 0.5])


def test_a_chosen_null_is_another_point_than_an_absent_parameter():
    keys = ("train.deepspeed_config", "model.attention")
    when = {keys[1]: "arch1"}
    space = Space(
        {keys[0]: Choice([None, "a.json"], when=when), keys[1]: Choice(["none", "arch1"])},
        base={"model.pretrained": False},
    )
    points = [{keys[1]: "arch1", keys[0]: None}, {keys[1]: "arch1", keys[0]: "a.json"}, {keys[1]: "none"}]
    encoded = np.stack([encode(space, point) for point in points])
    column = list(space.keys).index(keys[0])
    assert list(encoded[:, column]) == [0.0, 1.0, -1.0]
    apart = distances(space, encoded, encoded)[column]
    assert (apart == 1 - np.eye(3)).all()
