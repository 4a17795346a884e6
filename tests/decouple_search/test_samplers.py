"""Samplers by name: which go with which scheduler, grids, and the model that learns from every epoch."""

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from scipy.optimize import check_grad

from decouple_search.gp import EpochModel, EpochSampler, Observation, typical_curve
from decouple_search.grid import GridSampler
from decouple_search.samplers import SAMPLERS, choose_sampler
from decouple_search.space_file import load_space
from decouplenet.errors import InputError

SPACE = """
base: {model: {backbone: tiny, pretrained: false}}
search:
  model.maps_per_class: {int: [1, 16], log: true}
  model.attention: {choice: [none, arch1, joint]}
  model.alpha: {float: [0.0, 1.0]}
  model.k_neg: {float: [0.05, 1.0], log: true, when: {model.alpha: {gt: 0.5}}}
  optim.lr: {float: [1e-4, 1e-1], log: true}
  optim.momentum: {float: [0.5, 0.95], step: 0.05}
"""


def made(folder, text):
    file = folder / "space.yaml"
    file.write_text(text)
    return load_space(file)


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    return made(tmp_path_factory.mktemp("space"), SPACE)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return made(tmp_path_factory.mktemp("two"), SPACE + "objective: [{metric: val_map}, {metric: parameters}]")


def test_what_suits_is_taken_where_none_is_named(space, two):
    assert choose_sampler(None, "asha", space, 0) == "gp"
    assert choose_sampler(None, "pbt", space, 0) == "random"
    assert choose_sampler(None, "asha", two, 0) == "tpe"


@pytest.mark.parametrize(
    ("name", "scheduler", "said"),
    [
        ("randon", "asha", "unknown 'randon'; did you mean 'random'"),
        ("gp", "pbt", "gp does not go with the scheduler pbt: pbt changes configurations by itself"),
        ("cmaes", "asha", "cmaes does not go with the scheduler asha: a stopped trial has no final value"),
        ("nsgaii", "hyperband", "nsgaii does not go with the scheduler hyperband"),
        ("grid", "none", "model.alpha has endless values; give it a step, or choices"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(space, name, scheduler, said):
    with pytest.raises(InputError, match=said):
        choose_sampler(name, scheduler, space, 0)


def test_cmaes_has_one_objective_and_seeds_have_a_range(space, two):
    with pytest.raises(InputError, match="cmaes has one objective"):
        choose_sampler("cmaes", "none", two, 0)
    with pytest.raises(InputError, match="--seed: -1"):
        choose_sampler("tpe", "none", space, -1)
    for name in set(SAMPLERS) - {"grid"}:
        assert choose_sampler(name, "none", space, 0) == name


def test_a_grid_has_each_combination_once_in_order(tmp_path):
    text = """
base: {model: {backbone: tiny, pretrained: false}}
search:
  model.attention: {choice: [none, arch1]}
  model.alpha: {float: [0.0, 1.0], step: 0.5}
  model.k_neg: {choice: [0.1, 0.2], when: {model.alpha: {gt: 0.6}}}
  model.maps_per_class: {int: [1, 3], step: 2}
"""
    space = made(tmp_path, text)
    points = space.grid()
    assert len(points) == 2 * (1 + 1 + 2) * 2
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)
    assert points[0] == {"model.attention": "none", "model.alpha": 0.0, "model.maps_per_class": 1}
    study = optuna.create_study(sampler=GridSampler(space))
    asked = [space.suggest(study.ask()) for _ in range(len(points) + 1)]
    assert asked == [*points, points[0]]


@given(seed=st.integers(0, 1000), width=st.floats(0.01, 0.5))
def test_what_is_drawn_is_in_the_space_and_so_are_its_neighbours(space, seed, width):
    rng = np.random.default_rng(seed)
    point = space.draw(rng)
    for one in (point, space.neighbour(point, rng, width)):
        assert ("model.k_neg" in one) == (one["model.alpha"] > 0.5)
        for parameter in space.parameters:
            if parameter.key in one:
                assert parameter.contains(one[parameter.key])
                assert parameter.distribution._contains(parameter.distribution.to_internal_repr(one[parameter.key]))
                if parameter.kind != "choice":
                    place = parameter.place(one[parameter.key])
                    assert parameter.at(place) == pytest.approx(one[parameter.key])


def curve_of(point, epoch, epochs=9):
    """A made-up training: best at lr 1e-2, alpha 0.7 and arch1, reached in steps."""
    away = (np.log10(point["optim.lr"]) + 2) ** 2 / 4 + (point["model.alpha"] - 0.7) ** 2
    away += 0.1 * (point["model.attention"] != "arch1")
    return (0.9 - 0.5 * away) * (1 - 0.5 * np.exp(-3 * epoch / epochs))


def observed(space, count, seed=0, epochs=9):
    rng = np.random.default_rng(seed)
    points = [space.draw(rng) for _ in range(count)]
    return [Observation(p, e, curve_of(p, e)) for i, p in enumerate(points) for e in ((1, 2, 4, epochs)[: 1 + i % 4])]


def test_the_gradient_of_the_fit_is_right(space, monkeypatch):
    caught = {}

    def minimize(loss, start, **options):
        caught.update(loss=loss, start=start)
        return type("Found", (), {"x": start})

    monkeypatch.setattr("decouple_search.gp.minimize", minimize)
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
    from decouple_search.gp import encode

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


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 100), mode=st.sampled_from(["max", "min"]))
def test_it_finds_the_best_sooner_than_chance(tmp_path_factory, seed, mode):
    space = made(tmp_path_factory.mktemp("gp"), f"{SPACE}objective: {{metric: val_map, mode: {mode}}}")
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
