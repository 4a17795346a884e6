"""A study as its searcher sees it."""

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from decouple_search.samplers import study_model
from decouple_search.samplers.encoding import Encoding
from decouple_search.samplers.improvement import Candidates
from decouple_search.samplers.study_model import STARTUP_TRIALS, StudyModel
from decouple_search.study import attributes
from decouple_search.study.record import StudyRecord, search_trials
from tests.decouple_search.formula import formula_value
from tests.decouple_search.samplers.test_promotion import EPOCHS, add_trial, formula_trial


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize")


def model_of(study, space, **options):
    return StudyModel(study, search_trials(study), space, EPOCHS, **options)


def add_random(study, space, count, *, seed=0):
    """Trials with a random configuration each, of which every third is trained in full."""
    rng = np.random.default_rng(seed)
    return [formula_trial(study, space, space.draw(rng), EPOCHS if i % 3 == 0 else 1) for i in range(count)]


def test_it_is_informed_once_enough_trials_have_a_value_and_one_is_half_through(study, space):
    rng = np.random.default_rng(0)
    for _ in range(STARTUP_TRIALS):
        formula_trial(study, space, space.draw(rng), 4)
    assert not model_of(study, space).informed
    formula_trial(study, space, space.draw(rng), 5)
    assert model_of(study, space).informed


@pytest.mark.parametrize(("epochs", "enough"), [(1, 1), (2, 2), (3, 2), (4, 2)])
def test_a_first_epoch_alone_says_nothing_of_how_curves_go_on(study, space, epochs, enough):
    rng = np.random.default_rng(0)
    for _ in range(STARTUP_TRIALS):
        formula_trial(study, space, space.draw(rng), 1)
    assert StudyModel(study, search_trials(study), space, epochs).informed is (enough == 1)
    formula_trial(study, space, space.draw(rng), enough)
    assert StudyModel(study, search_trials(study), space, epochs).informed


def test_trials_that_are_being_trained_move_the_next_proposal(study, space):
    add_random(study, space, 20)
    alone = model_of(study, space).proposal(np.random.default_rng(0))
    for _ in range(3):
        add_trial(study, space, alone | {"optim.lr": alone["optim.lr"] * 1.0001}, {}, paused=False)
    beside = model_of(study, space).proposal(np.random.default_rng(0))
    ignored = model_of(study, space, training=[]).proposal(np.random.default_rng(0))
    assert beside != ignored
    assert ignored == alone


def test_a_model_is_made_anew_only_for_other_observations(study, space, monkeypatch):
    numbers = add_random(study, space, 20)
    made, real = [], study_model.fit
    monkeypatch.setattr(study_model, "fit", lambda *arguments: made.append(1) or real(*arguments))
    expected = [model_of(study, space).expect(numbers, np.full(20, EPOCHS)) for _ in range(2)]
    assert np.array_equal(*expected)
    assert len(made) == 1
    add_trial(study, space, space.draw(np.random.default_rng(1)), {}, paused=False)  # it has no value yet
    model_of(study, space).expect(numbers, np.full(20, EPOCHS))
    assert len(made) == 1
    formula_trial(study, space, space.draw(np.random.default_rng(2)), 1)
    model_of(study, space).expect(numbers, np.full(20, EPOCHS))
    assert len(made) == 2


def test_a_proposal_is_near_the_best_or_random(study, space):
    add_random(study, space, 60)
    model = model_of(study, space)
    proposals = [model.proposal(np.random.default_rng(seed)) for seed in range(5)]
    random = [model.proposal(np.random.default_rng(seed), random=True) for seed in range(5)]
    value, others = (np.mean([formula_value(point, EPOCHS) for point in points]) for points in (proposals, random))
    best = max(formula_value(trial.params, EPOCHS) for trial in study.trials)
    assert value > best - 0.02
    assert others < best - 0.1


@pytest.mark.parametrize("seconds", [1.0, 30.0])
def test_a_little_better_and_much_dearer_configuration_is_not_proposed(study, space, seconds):
    rng = np.random.default_rng(0)
    for _ in range(40):
        point = space.draw(rng)
        dear = point["model.attention"] == "arch1"
        value = 0.8 - 0.1 * (np.log10(point["optim.lr"]) + 2) ** 2 + 0.01 * dear
        curve = {epoch: value + 0.02 * rng.standard_normal() for epoch in range(1, 6)}
        add_trial(study, space, point, curve, state=TrialState.PRUNED, seconds=seconds if dear else 1.0)
    model = model_of(study, space)
    proposals = [model.proposal(np.random.default_rng(seed)) for seed in range(8)]
    arch1 = sum(point["model.attention"] == "arch1" for point in proposals)
    assert (arch1 == 0) if seconds == 30 else (arch1 > 4)
    assert (model.log_divisor_of_new(proposals[0] | {"model.attention": "arch1"}) > 0.5) == (seconds == 30)


def test_neighbours_of_the_configurations_that_are_expected_to_be_best_are_candidates(study, space, monkeypatch):
    add_random(study, space, 40)
    model, seen = model_of(study, space), []
    monkeypatch.setattr(Candidates, "best", lambda candidates, score, around, also: seen.append(around))
    model.proposal(np.random.default_rng(0))
    around = [Encoding(space).point(units) for units in seen[0]]
    values = [formula_value(trial.params, EPOCHS) for trial in study.trials]
    assert len(around) == 6
    assert min(formula_value(point, EPOCHS) for point in around) > np.median(values)


def test_a_configuration_that_another_search_stopped_early_may_be_proposed(study, space):
    rng = np.random.default_rng(0)
    point = space.draw(rng)
    add_trial(study, space, point, {1: 0.5}, state=TrialState.PRUNED)
    taken = len(model_of(study, space)._taken())
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.PRUNED,
            params=study.trials[0].params,
            distributions=study.trials[0].distributions,
            user_attrs={attributes.TAKEN_FROM: "other 0001"},
        )
    )
    assert len(model_of(study, space)._taken()) == taken == 1


def test_the_fit_is_kept_in_the_study_until_there_is_much_more_to_fit_to(study, space):
    add_random(study, space, 12)
    first = model_of(study, space)
    first.expect_new(space.draw(np.random.default_rng(1)), [EPOCHS])
    kept = StudyRecord(study).fit
    add_random(study, space, 1, seed=1)
    model_of(study, space).expect_new(space.draw(np.random.default_rng(1)), [EPOCHS])
    assert StudyRecord(study).fit == kept
    add_random(study, space, 12, seed=2)
    model_of(study, space).expect_new(space.draw(np.random.default_rng(1)), [EPOCHS])
    assert StudyRecord(study).fit.observations > 1.2 * kept.observations
    narrow = space.with_fixed({"model.alpha": 0.5})
    assert StudyRecord(study).fit.keys != list(narrow.keys)


def test_best_value_trained_and_scale_are_those_of_the_curves(study, space):
    numbers = add_random(study, space, 9)
    model = model_of(study, space)
    values = [value for trial in study.trials for value in trial.intermediate_values.values()]
    assert model.restored(model.best_value) == pytest.approx(max(values))
    assert [model.trained(number) for number in numbers[:2]] == [EPOCHS, 1]
    a_scale_lower = model.restored(model.best_value - model.scale)
    assert 0 < max(values) - a_scale_lower < np.std(values) * 3
