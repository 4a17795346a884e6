"""The sampler that learns from every epoch."""

import numpy as np
import optuna
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from decouple_search.samplers.epoch_sampler import EpochSampler
from decouple_search.samplers.study_model import StudyModel
from decouple_search.space.domain import Choice, Int
from decouple_search.space.objective import Objective
from decouple_search.space.space import Space
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


def test_no_configuration_is_proposed_twice_while_others_are_left():
    """In a space of choices, such as the paper's, every proposal tells something new, and all points are tried."""
    space = Space(
        {
            "model.head": Choice(["decouplenet", "wildcat", "gap"]),
            "model.attention": Choice(["none", "arch1", "arch2", "joint"]),
            "model.maps_per_class": Int(1, 5),
        },
        base={"model.pretrained": False},
    )
    study, tried = optuna.create_study(direction="maximize"), []
    for i in range(60):
        study.sampler = EpochSampler(space, 3, seed=i)
        trial = study.ask()
        point = space.suggest(trial)
        tried.append(tuple(point.values()))
        for epoch in range(1, 4):
            trial.report(len(str(tried[-1])) / 100 + 0.1 * epoch, epoch)
        if i % 2:
            study.tell(trial, 0.5)
        elif i % 10:
            study.tell(trial, state=TrialState.PRUNED)
    assert len(set(tried)) == 60


def test_every_sixth_trial_is_random(space, monkeypatch):
    random = []
    monkeypatch.setattr(StudyModel, "proposal", lambda model, rng, **options: random.append(options["random"]) or {})
    study = optuna.create_study(direction="maximize")
    for number in range(12):
        study.sampler = EpochSampler(space, 9, seed=number)
        space.suggest(study.ask())
    assert [number for number, each in enumerate(random) if each] == [5, 11]
