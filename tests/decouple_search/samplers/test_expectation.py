"""The expected value of each trial at the last epoch."""

import numpy as np
import optuna
import pytest

from decouple_search.samplers import fitting, study_model
from decouple_search.samplers.expectation import MIN_TRIALS, expected_values, incumbent
from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.yaml_file import load_space
from decouple_search.study.finalists import choose_finalists
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.record import search_trials
from tests.decouple_search.formula import formula_value
from tests.decouple_search.results.studies import run_repeat, run_trial


@pytest.fixture
def small(space_file, tmp_path):
    """The small space and a new study of it."""
    space = load_space(space_file())
    return space, open_study(tmp_path / "study.log", space)


@pytest.fixture
def noisy(space, tmp_path):
    """A study of trainings by a formula, with noise in every epoch, and the trials' values without noise."""
    study, rng, truth = open_study(tmp_path / "study.log", space), np.random.default_rng(1), {}
    for number in range(30):
        study.sampler = optuna.samplers.RandomSampler(number)
        point = space.draw(np.random.default_rng(number))
        study.enqueue_trial(point)
        values = [formula_value(point, epoch) + 0.06 * rng.standard_normal() for epoch in range(1, 10)]
        run_trial(study, space, values, epochs=9)
        truth[number] = formula_value(point, 9)
    return study, truth


def test_the_expectation_is_nearer_to_the_truth_than_the_luckiest_epoch(space, noisy):
    study, truth = noisy
    expected = expected_values(study, space, 9)
    assert set(expected) == set(truth)
    lucky = {number: max(study.trials[number].intermediate_values.values()) for number in truth}

    def error(values):
        return np.std([values[number] - truth[number] for number in truth])  # a common offset changes no choice

    assert error(expected) < error(lucky)


def test_the_incumbent_is_not_the_trial_of_a_lucky_epoch(space, noisy):
    study, truth = noisy
    point = {"optim.lr": 1e-2, "model.alpha": 0.7, "model.attention": "none"}
    study.enqueue_trial(space.draw(np.random.default_rng(0)) | point)
    values = [formula_value(point, epoch) for epoch in range(1, 10)]
    run_trial(study, space, [*values[:8], 1.0], epochs=9)
    assert max(max(trial.intermediate_values.values()) for trial in study.trials) == 1.0
    best = incumbent(study, space, 9)
    number = int(best.trial_id)
    assert truth[number] > np.quantile(list(truth.values()), 0.8)
    assert best.value == pytest.approx(truth[number], abs=0.06)


def test_the_incumbent_may_be_a_trial_that_is_being_trained(space, noisy):
    study, _ = noisy
    point = {"optim.lr": 1e-2, "model.alpha": 0.7, "model.attention": "arch1"}
    study.enqueue_trial(space.draw(np.random.default_rng(0)) | point)
    run_trial(study, space, [formula_value(point, epoch) + 0.1 for epoch in range(1, 9)], epochs=9, ends=False)
    assert incumbent(study, space, 9).trial_id == "0030"


def test_the_incumbent_is_not_a_trial_that_has_only_begun(space, noisy):
    study, _ = noisy
    point = {"optim.lr": 1e-2, "model.alpha": 0.7, "model.attention": "arch1"}
    study.enqueue_trial(space.draw(np.random.default_rng(0)) | point)
    run_trial(study, space, [formula_value(point, epoch) + 0.3 for epoch in range(1, 5)], epochs=9, ends=False)
    expected = expected_values(study, space, 9)
    assert incumbent(study, space, 9).trial_id == f"{max(expected, key=expected.get):04d}" != "0030"


def test_there_is_no_incumbent_before_the_model_knows_enough(space, tmp_path):
    study = open_study(tmp_path / "study.log", space)
    for value in (0.1, 0.2, 0.3):
        run_trial(study, space, (value, value), epochs=9)
    assert incumbent(study, space, 9) is None


def test_a_loss_has_the_incumbent_with_the_lowest_expectation(space_file, tmp_path):
    space = load_space(space_file(("scheduler: {", "objective: [{metric: val_loss}]\nscheduler: {")))
    study, rng = open_study(tmp_path / "study.log", space), np.random.default_rng(0)
    losses = {}
    for number in range(12):
        study.enqueue_trial(point := space.draw(rng))
        losses[number] = 1 - formula_value(point, 3, 3)
        run_trial(study, space, [1 - formula_value(point, epoch, 3) for epoch in (1, 2, 3)])
    best = incumbent(study, space, 3)
    assert losses[int(best.trial_id)] < np.quantile(list(losses.values()), 0.2)
    assert best.value == pytest.approx(losses[int(best.trial_id)], abs=0.05)


def test_trials_that_failed_and_trainings_of_finalists_are_none_of_them(small):
    space, study = small
    for value in (0.2, 0.3, 0.4, 0.5, 0.6):
        run_trial(study, space, (value, value, value))
    run_trial(study, space, (0.9,), failure="the loss is nan")
    before = expected_values(study, space, 3)
    assert set(before) == {0, 1, 2, 3, 4}
    choice = choose_finalists(study, before, space.objective, FinalistPlan(1, 1), seed=0, used_seeds=[0])
    run_repeat(study, space, choice.trials[0], choice.seeds[0], (0.1, 0.1, 0.1))
    assert expected_values(study, space, 3) == before, "the fresh seeds changed the choice that they are to check"


def test_with_few_trials_it_is_the_mean_of_the_last_epochs(small):
    space, study = small
    assert MIN_TRIALS > 2
    run_trial(study, space, (0.1, 0.9, 0.5, 0.7), epochs=4)
    run_trial(study, space, (0.3,))
    assert expected_values(study, space, 4) == pytest.approx({0: 0.7, 1: 0.3})


def test_a_model_that_cannot_be_fitted_gives_way_to_the_curves(small, monkeypatch):
    def refuse(*arguments, **options):
        raise np.linalg.LinAlgError("not positive definite")

    space, study = small
    for value in (0.2, 0.3, 0.4, 0.5):
        run_trial(study, space, (value, value, value))
    monkeypatch.setattr(fitting, "EpochModel", refuse)
    assert expected_values(study, space, 3) == pytest.approx({0: 0.2, 1: 0.3, 2: 0.4, 3: 0.5})


def test_a_loss_stays_a_loss(space_file, tmp_path):
    space = load_space(space_file(("scheduler: {", "objective: [{metric: val_loss}]\nscheduler: {")))
    study = open_study(tmp_path / "study.log", space)
    for value in (0.2, 0.4, 0.6, 0.8, 1.0):
        run_trial(study, space, (value, value, value))
    expected = expected_values(study, space, 3)
    assert 0 < expected[0] < expected[4]


def test_more_is_taken_off_a_configuration_with_a_single_epoch(space, tmp_path):
    """Trials in full that are good, and one with a single epoch, alone in a region where the model knows little."""
    study, rng = open_study(tmp_path / "study.log", space), np.random.default_rng(0)
    for number in range(14):
        study.enqueue_trial(space.draw(rng) | {"optim.lr": 10 ** rng.uniform(-2.2, -1.8), "model.alpha": 0.6})
        point = {"optim.lr": 1e-2, "model.alpha": 0.6, "model.attention": "arch1"}
        values = [formula_value(point, epoch) - 0.01 * (number % 3) for epoch in range(1, 10)]
        run_trial(study, space, values, epochs=9)
    study.enqueue_trial(space.draw(rng) | {"optim.lr": 1e-4, "model.alpha": 0.0})
    run_trial(study, space, (formula_value(point, 1),), epochs=9)
    expected = expected_values(study, space, 9)
    model = study_model.StudyModel(study, search_trials(study), space, 9)
    taken_off = {
        number: model.restored(model.expect_new(study.trials[number].params, [9])[0][0]) - expected[number]
        for number in (0, 14)
    }
    assert 0 < taken_off[0] < taken_off[14]
