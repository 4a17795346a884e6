"""The kernel over configuration and epoch, and the loss by which it is fitted."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from decouple_search.samplers.kernel import (
    FitData,
    Hyperparameters,
    matern,
    posterior_loss,
    prior_of,
    squared_distances,
)

THETA = np.log([0.5, 2.0, 0.01, 3.0, 0.7, 4.0, 0.2])
"""Two length scales, noise, floor, epoch scale, variance, trial variance."""


def fit_data(seed=0):
    """Two observations each of 12 trials with three columns, the last two of one parameter."""
    rng = np.random.default_rng(seed)
    trials, times = np.repeat(np.arange(12), 2), np.tile([0.0, 0.6], 12)
    return FitData(
        rows=rng.random((12, 3))[trials],
        owners=np.array([0, 1, 1]),
        gaps=np.abs(times[:, None] - times),
        same=(trials[:, None] == trials).astype(float),
        values=rng.standard_normal(24),
    )


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.4])
def test_the_gradient_is_right(shift):
    data, prior = fit_data(), prior_of(2)
    theta = prior.mean + shift
    gradient = posterior_loss(theta, data, prior)[1]
    error = check_grad(lambda x: posterior_loss(x, data, prior)[0], lambda x: posterior_loss(x, data, prior)[1], theta)
    assert error < 1e-4 * np.linalg.norm(gradient)


def test_the_loss_is_that_of_a_normal_distribution():
    from scipy.stats import multivariate_normal

    data, prior = fit_data(), prior_of(2)
    each = Hyperparameters.from_vector(THETA)
    scaled = each.scaled(data.rows, data.owners)
    covariance = each.variance * matern(squared_distances(scaled, scaled)) + each.trial_variance * data.same
    covariance = covariance * each.over_epochs(data.gaps) + (each.noise + 1e-6) * np.eye(24)
    expected = -multivariate_normal(np.zeros(24), covariance).logpdf(data.values) - 12 * np.log(2 * np.pi)
    expected += 0.5 * (((THETA - prior.mean) / prior.deviation) ** 2).sum()
    assert posterior_loss(THETA, data, prior)[0] == pytest.approx(expected)


def test_a_covariance_that_is_not_positive_definite_has_a_very_high_loss():
    data = fit_data()._replace(gaps=np.full((24, 24), -50.0))
    loss, gradient = posterior_loss(THETA, data, prior_of(2))
    assert loss == 1e10
    assert (gradient == 0).all()


def test_hyperparameters_are_read_from_a_vector_on_their_scales():
    each = Hyperparameters.from_vector(THETA)
    assert each.log_lengths == pytest.approx(np.log([0.5, 2.0]))
    assert each.noise == pytest.approx(0.01)
    assert each.floor == pytest.approx(0.75)
    assert each.epoch_scale == pytest.approx(0.7)
    assert each.variance == pytest.approx(4.0)
    assert each.trial_variance == pytest.approx(0.2)


def test_the_kernel_falls_with_the_distance_and_over_epochs_to_its_floor():
    each = Hyperparameters.from_vector(THETA)
    assert each.over_epochs(np.array([0.0, 0.7, 1e3])) == pytest.approx([1.0, 0.75 + 0.25 / np.e, 0.75])
    assert matern(np.array([0.0])) == pytest.approx(1.0)
    assert (np.diff(matern(np.linspace(0, 9, 20))) < 0).all()
    rows = np.array([[1.0, 1.0, 1.0]])
    assert each.scaled(rows, np.array([0, 1, 1])) == pytest.approx(np.array([[2.0, 0.5, 0.5]]))


def test_squared_distances_are_those_of_all_pairs():
    a, b = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0]])
    assert squared_distances(a, b) == pytest.approx(np.array([[25.0], [13.0]]))
