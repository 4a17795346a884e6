"""The figures of a search's page."""

import numpy as np
import optuna
import pytest

from decouple_search.results.figures import curves, history, importances, parallel, pareto, screening
from decouple_search.space.domain import Choice, Int
from decouple_search.space.objective import Objective
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.ranking import measured_trials, pareto_set
from decouple_search.study.record import screened_trials
from tests.decouple_search.results.studies import run_repeat, run_screened, run_trial

VAL_MAP, VAL_LOSS = Objective("val_map", "max"), Objective("val_loss", "min")


@pytest.fixture
def space(space_file):
    return load_space(space_file())


@pytest.fixture
def study(space, tmp_path):
    """A study of twelve trials, of which every third one is stopped after an epoch."""
    study, rng = open_study(tmp_path / "study.log", space), np.random.default_rng(0)
    for i in range(12):
        study.sampler = optuna.samplers.RandomSampler(i)
        epochs, best = (1 if i % 3 == 2 else 3), 0.5 + 0.1 * rng.random()
        run_trial(study, space, [best - 0.1 * (epochs - epoch) for epoch in range(1, epochs + 1)])
    return study


def test_the_history_has_the_best_value_so_far_in_the_objectives_direction(study):
    trials = measured_trials(study)
    values = [trial.best_value for trial in trials]
    figure = history(trials, VAL_MAP)
    assert list(figure.data[-1].y) == np.maximum.accumulate(values).tolist()
    assert [len(trace.x) for trace in figure.data] == [8, 4, 12]
    assert list(history(trials, VAL_LOSS).data[-1].y) == np.minimum.accumulate(values).tolist()


def test_each_trial_has_a_curve(study):
    assert [len(trace.x) for trace in curves(measured_trials(study), "val_map").data] == [3, 3, 1] * 4


def test_a_screened_head_stands_beside_the_full_trial_with_it(study, space):
    full = measured_trials(study)
    point = full[3].parameters
    key = next(iter(point))
    run_screened(study, space, (0.1, 0.2), 2, head={key: point[key]})
    heads = screened_trials(study)
    alone, both = screening(heads, full, VAL_MAP)
    assert list(alone.data[0].y) == [0.2]
    paired = [trial for trial in full if trial.parameters[key] == point[key]]
    assert list(both.data[0].x) == [0.2] * len(paired)
    assert list(both.data[0].y) == [trial.best_value for trial in paired]
    assert len(screening(heads, [], VAL_MAP)) == 1
    assert screening([], full, VAL_MAP) == []


def test_trainings_of_finalists_change_no_importance(study, space):
    before = importances(study, "val_map").data[0].x
    for seed in range(6):
        run_repeat(study, space, 0, seed, (0.7, 0.8, 0.9))
    assert importances(study, "val_map").data[0].x == before


def test_importances_are_sorted_so_that_the_highest_is_on_top(study):
    bars = importances(study, "val_map").data[0]
    assert list(bars.x) == sorted(bars.x)


def test_the_parallel_plot_has_all_parameters_and_the_objective(study):
    figure = parallel(measured_trials(study), "val_map")
    dimensions = {dimension.label: dimension for dimension in figure.data[0].dimensions}
    assert {"model.alpha", "val_map"} <= dimensions.keys()
    assert list(dimensions["model.attention"].ticktext) == ["arch1", "none"]
    assert len(dimensions["log10 model.k_neg"].values) == 12  # absent ones too


def test_a_single_objective_has_no_pareto_figure(study):
    trials = measured_trials(study)
    assert pareto(trials, trials, ["val_map"]) == []


def test_the_pareto_set_is_marked(space_file, tmp_path):
    objectives = "[{metric: val_map}, {metric: parameters}]"
    space = load_space(space_file(("scheduler: {", f"objective: {objectives}\nscheduler: {{")))
    study = open_study(tmp_path / "several.log", space)
    for value, size in ((0.5, 10), (0.4, 5), (0.4, 7), (0.6, 10)):
        run_trial(study, space, (value,), parameters=size)
    trials = measured_trials(study)
    [figure] = pareto(trials, pareto_set(study, space.objectives), ["val_map", "parameters"])
    assert {trace.name: list(trace.text) for trace in figure.data} == {
        "Pareto set": ["0001", "0003"],
        "others": ["0000", "0002"],
    }
    assert (list(figure.data[0].x), list(figure.data[0].y)) == ([5, 10], [0.4, 0.6])


def test_without_trials_nothing_is_drawn(space, tmp_path):
    empty = open_study(tmp_path / "empty.log", space)
    assert history([], VAL_MAP) is curves([], "val_map") is parallel([], "val_map") is None
    assert importances(empty, "val_map") is None


def test_a_chosen_null_and_an_absent_parameter_have_places_of_their_own(tmp_path):
    searched = {
        "train.deepspeed_config": Choice([None, "a.json"]),
        "data.label_separator": Choice([None, ";"], when={"train.deepspeed_config": None}),
        "model.maps_per_class": Int(1, 4, when={"train.deepspeed_config": None}),
    }
    space = Space(searched, base={"model.pretrained": False})
    study = open_study(tmp_path / "null.log", space)
    for point in ((None, None), (None, ";"), ("a.json", None)):
        study.enqueue_trial(dict(zip(searched, (*point, 3), strict=True)))
        run_trial(study, space, (0.5,))
    figure = parallel(measured_trials(study), "val_map")
    drawn = {each.label: [each.ticktext[i] for i in each.values] for each in figure.data[0].dimensions if each.ticktext}
    assert drawn == {
        "train.deepspeed_config": ["null", "null", "a.json"],
        "data.label_separator": ["null", ";", "absent"],
    }
    assert [list(each.values) for each in figure.data[0].dimensions if each.label == "model.maps_per_class"] == [
        [3, 3, 3]
    ]
