"""The sampler that learns from every epoch."""

from dataclasses import replace

import numpy as np
import optuna
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from decouple_search.samplers.epoch_sampler import EpochSampler, expects_best
from decouple_search.samplers.gaussian_process import EpochModel
from tests.decouple_search.made_up import curve_of


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 100), mode=st.sampled_from(["max", "min"]))
def test_it_finds_the_best_sooner_than_chance(space, seed, mode):
    space = replace(space, objectives=(("val_map", mode),))
    sign = 1 if mode == "max" else -1
    best = {}
    for name in ("gp", "random"):
        study = optuna.create_study(direction="maximize" if mode == "max" else "minimize")
        for i in range(40):
            ours, chance = EpochSampler(space, 9, seed=seed * 100 + i), optuna.samplers.RandomSampler(i)
            study.sampler = ours if name == "gp" else chance
            trial = study.ask()
            point = space.suggest(trial)
            for epoch in range(1, 10 if i % 3 == 0 else 2):  # most are stopped early
                trial.report(sign * curve_of(point, epoch), epoch)
            study.tell(trial, sign * curve_of(point, 9))
        best[name] = max(curve_of(trial.params, 9) for trial in study.trials)
    assert best["gp"] > best["random"]
    assert best["gp"] > 0.99 * 0.9 * (1 - 0.5 * np.exp(-3))


def test_failed_and_running_trials_are_counted_in(space):
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
            trial.set_user_attr("failure", "a worker was lost")
            study.tell(trial, state=TrialState.FAIL)
        elif i < 10:
            trial.report(curve_of(point, 1), 1)
            trial.report(0.5, 12)  # of a search with more epochs
            study.tell(trial, state=TrialState.PRUNED)
    known, running = EpochSampler(space, 9, seed=0)._known(study.trials)
    assert len(running) == 2
    failed = next(one for one in known if one.point == study.trials[3].params)
    assert study.trials[4].params not in [one.point for one in known]
    assert max(one.epoch for one in known) <= 9
    assert failed.value == min(one.value for one in known)
    model = EpochModel(space, known, 9)
    before = model.best_candidate(rng)
    model.believe([before] * 3)
    after = model.best_candidate(np.random.default_rng(0))
    assert after != before


def slow_or_fast(point, epoch, epochs=9):
    """High learning rates are quick to a middling value; low ones are slow to a high one."""
    slow = point["optim.lr"] < 3e-3
    top, speed = (0.9, 0.2) if slow else (0.6, 3.0)
    return (top - 0.1 * (point["model.alpha"] - 0.5) ** 2) * (1 - np.exp(-speed * epoch))


def test_a_slow_trial_is_spared_where_slow_ones_became_the_best(space):
    study = optuna.create_study(direction="maximize")
    rng = np.random.default_rng(0)
    distributions = {parameter.key: parameter.distribution for parameter in space.parameters}

    def begun(point, epochs):
        present = {key: distributions[key] for key in point}
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=point,
            distributions=present,
            intermediate_values={epoch: slow_or_fast(point, epoch) for epoch in range(1, epochs + 1)},
        )
        study.add_trial(trial)
        return len(study.trials) - 1

    def expected(lr):
        point = space.draw(rng) | {"optim.lr": lr, "model.alpha": 0.5}
        point = space.present(point | {"model.k_neg": 0.2})
        return expects_best(study, space, 9, begun(point, 0), 1, slow_or_fast(point, 1))

    assert not expected(1e-3)  # nothing is known yet
    for i in range(20):
        begun(space.draw(rng), 9 if i % 4 == 0 else 1)
    slow = [t for t in study.trials if len(t.intermediate_values) == 9 and t.params["optim.lr"] < 3e-3]
    assert slow
    assert expected(1e-3)
    assert not expected(5e-2)
