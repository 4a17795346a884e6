"""The sampler that learns from every epoch."""

import numpy as np
import optuna
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from decouple_search.samplers.epoch_sampler import (
    MAX_OBSERVATIONS,
    EpochSampler,
    expects_best,
    observations_of,
    sparse_epochs,
)
from decouple_search.samplers.gaussian_process import EpochModel
from decouple_search.space.objective import Objective
from decouple_search.study.record import WORKER_LOST, all_trials
from tests.decouple_search.formula import formula_value
from tests.decouple_search.spaces import varied


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 100), mode=st.sampled_from(["max", "min"]))
def test_it_comes_closer_to_the_best_than_random_proposals(space, seed, mode):
    space = varied(space, objectives=(Objective("val_map", mode),))
    sign = 1 if mode == "max" else -1
    best = {}
    for name in ("gp", "random"):
        study = optuna.create_study(direction="maximize" if mode == "max" else "minimize")
        for i in range(40):
            model, random = EpochSampler(space, 9, seed=seed * 100 + i), optuna.samplers.RandomSampler(i)
            study.sampler = model if name == "gp" else random
            trial = study.ask()
            point = space.suggest(trial)
            for epoch in range(1, 10 if i % 3 == 0 else 2):  # most are stopped early
                trial.report(sign * formula_value(point, epoch), epoch)
            study.tell(trial, sign * formula_value(point, 9))
        best[name] = max(formula_value(trial.params, 9) for trial in study.trials)
    assert best["gp"] > best["random"]
    assert best["gp"] > 0.99 * 0.9 * (1 - 0.5 * np.exp(-3))


def test_failed_and_running_trials_count(space):
    study = optuna.create_study(direction="maximize")
    rng = np.random.default_rng(0)
    for i in range(12):
        study.sampler = EpochSampler(space, 9, seed=i)
        trial = study.ask()
        point = space.suggest(trial)
        if i == 3:
            trial.report(0.99, 1)  # before its loss was NaN
            study.tell(trial, state=TrialState.FAIL)
        elif i == 4:
            trial.set_user_attr("failure", WORKER_LOST)
            study.tell(trial, state=TrialState.FAIL)
        elif i < 10:
            trial.report(formula_value(point, 1), 1)
            trial.report(0.5, 12)  # of a search with more epochs
            study.tell(trial, state=TrialState.PRUNED)
    observations = observations_of(all_trials(study), space, 9)
    failed = next(each for each in observations if each.point == study.trials[3].params)
    assert study.trials[4].params not in [each.point for each in observations]
    assert max(each.epoch for each in observations) <= 9
    assert failed.value == min(each.value for each in observations)
    model = EpochModel(space, observations, 9)
    before = model.best_candidate(rng)
    model.believe([before] * 3)
    after = model.best_candidate(np.random.default_rng(0))
    assert after != before


def test_the_next_proposal_takes_running_trials_into_account(space, monkeypatch):
    study = optuna.create_study(direction="maximize")
    for i in range(12):
        study.sampler = EpochSampler(space, 9, seed=i)
        trial = study.ask()
        trial.report(formula_value(space.suggest(trial), 1), 1)
        if i < 10:
            study.tell(trial, state=TrialState.PRUNED)
    pending, believe = [], EpochModel.believe
    monkeypatch.setattr(EpochModel, "believe", lambda model, points: (pending.extend(points), believe(model, points)))
    study.sampler = EpochSampler(space, 9, seed=12)
    space.suggest(study.ask())
    assert pending == [trial.params for trial in study.trials[10:12]]


def test_of_many_observations_the_late_and_good_ones_are_taken(space):
    study = optuna.create_study(direction="maximize")
    rng = np.random.default_rng(0)
    for number in range(MAX_OBSERVATIONS):
        add_running_trial(study, space, space.draw(rng), {1: number / 1000, 2: number / 1000})
    observations = observations_of(all_trials(study), space, 9)
    assert len(observations) == MAX_OBSERVATIONS
    assert {each.epoch for each in observations} == {2}
    values = [each.value for each in observations]
    assert values == sorted(values, reverse=True)


def test_of_a_curve_the_model_takes_powers_of_two_and_the_last_epoch():
    assert sparse_epochs(dict.fromkeys(range(1, 12), 0.5)) == [1, 2, 4, 8, 11]
    assert sparse_epochs({}) == []


def add_running_trial(study, space, point, values):
    """Add a running trial with values by epoch; returns its number."""
    distributions = {parameter.key: parameter.distribution for parameter in space.parameters}
    trial = optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=point,
        distributions={key: distributions[key] for key in point},
        intermediate_values=values,
    )
    study.add_trial(trial)
    return len(study.trials) - 1


def slow_or_fast(point, epoch, epochs=9):
    """High learning rates are quick to a middling value; low ones are slow to a high one."""
    slow = point["optim.lr"] < 3e-3
    top, speed = (0.9, 0.2) if slow else (0.6, 3.0)
    return (top - 0.1 * (point["model.alpha"] - 0.5) ** 2) * (1 - np.exp(-speed * epoch))


def test_a_slow_trial_is_expected_to_be_the_best_where_slow_trials_became_the_best(space):
    study = optuna.create_study(direction="maximize")
    rng = np.random.default_rng(0)

    def start(point, epochs):
        values = {epoch: slow_or_fast(point, epoch) for epoch in range(1, epochs + 1)}
        return add_running_trial(study, space, point, values)

    def expected(lr):
        point = space.draw(rng) | {"optim.lr": lr, "model.alpha": 0.5}
        point = space.present(point | {"model.k_neg": 0.2})
        return expects_best(study, space, 9, start(point, 0), 1, slow_or_fast(point, 1))

    assert not expected(1e-3)  # there are too few trials
    for i in range(20):
        start(space.draw(rng), 9 if i % 4 == 0 else 1)
    slow = [t for t in study.trials if len(t.intermediate_values) == 9 and t.params["optim.lr"] < 3e-3]
    assert slow
    assert expected(1e-3)
    assert not expected(5e-2)
