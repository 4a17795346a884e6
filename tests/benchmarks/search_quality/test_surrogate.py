"""Surrogates of both kinds follow the trainings, and no target lies beyond them."""

import pickle

import numpy as np
import pytest

from benchmarks.search_quality import surrogate
from benchmarks.search_quality import table as table_module
from benchmarks.search_quality.csv_table import Recorded
from benchmarks.search_quality.surrogate import KINDS, SurrogateTable, encode
from benchmarks.search_quality.table import draw_configs
from decouple_search.space.objective import Objective
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space
from decouplenet.errors import InputError

SPACE = Space.of_parameters(
    "peak",
    (Parameter("x", "float", (0.0, 1.0)), Parameter("c", "choice", ("a", "b"), when={"x": ("gt", 0.5)})),
    Objective("val_map", "max"),
)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(table_module, "DRAWS", 60)


def recorded(peak=0.0):
    """100 trainings: the best is at x = 0.8, and one at the edge is better by `peak` than all others."""
    points = draw_configs(SPACE, 100, seed=1)
    values = np.array([1 - abs(point["x"] - 0.8) for point in points])
    values[0] = 1 + peak
    curves = values[:, None] * [0.5, 1.0]
    seconds = np.array([[1 + 9 * point["x"], 1.0] for point in points])
    return Recorded(SPACE, points, curves, seconds, 0.02, 0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_curves_and_seconds_follow_the_trainings(kind):
    table = SurrogateTable(recorded(), kind, "peak")
    assert (table.epochs, table.noise, table.training_noise) == (2, 0.02, 0.03)
    assert table.curve({"x": 0.3}) == pytest.approx([0.25, 0.5], abs=0.06)
    assert table.curve({"x": 0.8, "c": "a"}) == pytest.approx([0.5, 1.0], abs=0.06)
    assert table.seconds({"x": 0.3}) == pytest.approx([3.7, 1.0], rel=0.2)
    assert table.held_out_error() < 0.06
    copy = pickle.loads(pickle.dumps(table))  # noqa: S301
    assert (copy.curve({"x": 0.3}) == table.curve({"x": 0.3})).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("peak", [0.0, 2.0])
def test_the_best_is_what_trainings_and_draws_reach(kind, peak):
    table = SurrogateTable(recorded(peak), kind, "peak")
    assert table.recorded_best == 1 + peak
    assert table.best == min(table.recorded_best, table.drawn_best)
    reached = max(table.curve(each).max() for each in draw_configs(SPACE, 60))
    assert table.drawn_best == pytest.approx(reached)
    assert table.target(0.95) == 0.95 * table.best


@pytest.mark.parametrize(("drawn", "best"), [(0.9, 0.9), (1.4, 1.0)])
def test_no_target_lies_beyond_the_trainings(monkeypatch, drawn, best):
    monkeypatch.setattr(surrogate, "best_of_draws", lambda space, curves: drawn)
    assert SurrogateTable(recorded(), "trees", "peak").best == best


def test_an_absent_value_is_encoded_outside_the_range():
    space = Space.of_parameters("s", (*SPACE.parameters, Parameter("y", "int", (1, 3))), Objective("val_map", "max"))
    assert encode(space, {"x": 0.25}).tolist() == [0.25, 0, 0, -1]
    assert encode(space, {"x": 1.0, "c": "b", "y": 2}).tolist() == [1, 0, 1, 0.5]


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="unknown surrogate 'net'; valid: trees, gp"):
        SurrogateTable(recorded(), "net", "peak")
