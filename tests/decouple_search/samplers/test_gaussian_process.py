"""The Gaussian process over configurations and epochs."""

import numpy as np
import pytest

from decouple_search.samplers import gaussian_process
from decouple_search.samplers.curves import Curve, Observations
from decouple_search.samplers.encoding import Encoding
from decouple_search.samplers.gaussian_process import EpochModel
from tests.decouple_search.formula import formula_value


def random_curves(space, count, seed=0):
    """Curves of random configurations, of which some were trained longer than others."""
    rng = np.random.default_rng(seed)
    points = [space.draw(rng) for _ in range(count)]
    return [
        Curve(i, point, {epoch: formula_value(point, epoch) for epoch in (1, 2, 4, 9)[: 1 + i % 4]})
        for i, point in enumerate(points)
    ]


def rows_of(space, points):
    encoding = Encoding(space)
    return encoding.rows(encoding.units(points))


def model_of(space, curves, **options):
    rows = rows_of(space, [curve.point for curve in curves])
    return EpochModel(rows, Encoding(space).owners, Observations.of_curves(curves), 9, **options)


def last_epochs(count):
    return np.full(count, 9.0)


def test_the_model_predicts_the_last_epoch_from_early_ones(space):
    """Of other configurations than those that it was fitted to, which were mostly trained for a part of the epochs."""
    model, rng = model_of(space, random_curves(space, 60)), np.random.default_rng(1)
    new = [space.draw(rng) for _ in range(200)]
    mean, deviation = model.expect(rows_of(space, new), last_epochs(200))
    truth = np.array([formula_value(point, 9) for point in new])
    assert np.corrcoef(mean, truth)[0, 1] > 0.9
    assert np.abs(mean - truth).mean() < 0.5 * truth.std()
    covered = np.abs(mean - truth) < 3 * deviation
    assert covered.mean() > 0.9


def test_a_trial_is_known_better_than_its_configuration(space):
    """A trial has a way of its own, so its own curve says more of its next epochs than the configuration does."""
    curves = random_curves(space, 40)
    lifted = Curve(40, curves[0].point, {epoch: formula_value(curves[0].point, epoch) + 0.1 for epoch in (1, 2, 4)})
    model = model_of(space, [*curves, lifted])
    row = rows_of(space, [lifted.point])
    of_trial, sure = model.expect(row, last_epochs(1), np.array([40]))
    of_new, unsure = model.expect(row, last_epochs(1))
    assert of_trial > of_new
    assert sure < unsure


def test_all_observations_count_beyond_those_that_are_exact(space, monkeypatch):
    """With noise, the sparse process knows more than its inducing observations alone, and each observation moves it."""
    rng = np.random.default_rng(0)
    curves = [
        curve._replace(values={epoch: value + 0.08 * rng.standard_normal() for epoch, value in curve.values.items()})
        for curve in random_curves(space, 240)
    ]
    known = {"hyperparameters": model_of(space, curves).hyperparameters}
    few = model_of(space, curves[:40], **known)  # they have 100 observations
    monkeypatch.setattr(gaussian_process, "INDUCING", 100)
    sparse = model_of(space, curves, **known)
    new = [space.draw(np.random.default_rng(1000 + seed)) for seed in range(200)]
    truth = np.array([formula_value(point, 9) for point in new])
    error, error_of_few = (
        np.abs(model.expect(rows_of(space, new), last_epochs(200))[0] - truth).mean() for model in (sparse, few)
    )
    assert error < 0.7 * error_of_few
    for number in rng.choice(240, 5, replace=False):
        lifted = {epoch: value + 0.1 for epoch, value in curves[number].values.items()}
        changed = [*curves[:number], curves[number]._replace(values=lifted), *curves[number + 1 :]]
        row, first = rows_of(space, [curves[number].point]), np.ones(1)
        assert model_of(space, changed, **known).expect(row, first)[0] > sparse.expect(row, first)[0] + 0.0005


def test_values_to_come_lower_deviations_and_leave_expected_values(space):
    curves = random_curves(space, 30)
    model, point = model_of(space, curves), space.draw(np.random.default_rng(9))
    rows = rows_of(space, [point, curves[4].point])
    before_mean, before = model.expect(rows, last_epochs(2))
    pending = model.with_pending(rows, last_epochs(2), np.array([-1, 4]))
    mean, deviation = pending.expect(rows, last_epochs(2))
    assert mean == pytest.approx(before_mean)
    assert (deviation < 0.9 * before).all()
    assert model.expect(rows, last_epochs(2))[1] == pytest.approx(before)  # the model itself stays as it was


def test_a_value_changes_what_is_expected_of_its_configuration_by_as_much_as_was_foreseen(space):
    """A value that is one standard deviation higher than expected raises the expectation by `change_by_value`."""
    rng = np.random.default_rng(0)
    curves = [
        curve._replace(values={epoch: value + 0.05 * rng.standard_normal() for epoch, value in curve.values.items()})
        for curve in random_curves(space, 60)
    ]
    model, point = model_of(space, curves), space.draw(np.random.default_rng(11))
    row, known = rows_of(space, [point]), {"hyperparameters": model.hyperparameters}
    mean, deviation = model.expect(row, last_epochs(1))
    change = float(model.change_by_value(row, last_epochs(1))[0])
    of_value = float(np.hypot(deviation[0], model.scale * np.sqrt(model.hyperparameters.noise)))
    higher, lower = (
        model_of(space, [*curves, Curve(60, point, {9: float(mean[0]) + sign * of_value})], **known).expect(
            row, last_epochs(1)
        )[0]
        for sign in (1, -1)
    )
    assert float(higher[0] - lower[0]) / 2 == pytest.approx(change, rel=0.1)
    assert change < 0.9 * float(deviation[0]), "what a trial has of its own, and noise, change nothing"


def test_equal_values_are_no_error(space):
    curves = [curve._replace(values=dict.fromkeys(curve.values, 0.5)) for curve in random_curves(space, 12)]
    mean, deviation = model_of(space, curves).expect(rows_of(space, [curves[0].point]), last_epochs(1))
    assert mean == pytest.approx(0.5)
    assert deviation > 0
