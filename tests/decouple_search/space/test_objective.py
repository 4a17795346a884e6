"""An objective: which of two values is better, and the measures that can be one."""

import math

import pytest

from decouple_search.space.objective import EPOCH_MEASURES, MINIMISED, OBJECTIVES, TRIAL_MEASURES, Objective
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine

MAP, LOSS = Objective("val_map", "max"), Objective("val_loss", "min")


@pytest.mark.parametrize("metric", OBJECTIVES)
def test_losses_sizes_and_latencies_are_minimised_and_all_else_is_maximised(metric):
    mode = "min" if metric.endswith("loss") or metric in ("parameters", "latency_ms") else "max"
    assert Objective.natural(metric) == Objective(metric, mode)


def test_each_minimised_measure_is_an_objective():
    assert set(MINIMISED) <= set(OBJECTIVES)
    assert len(set(OBJECTIVES)) == len(OBJECTIVES)


@pytest.mark.parametrize(
    ("objective", "value", "than", "expected"),
    [
        (MAP, 0.5, 0.4, True),
        (MAP, 0.4, 0.5, False),
        (MAP, 0.5, 0.5, False),
        (LOSS, 0.4, 0.5, True),
        (LOSS, 0.5, 0.4, False),
        (LOSS, 0.5, 0.5, False),
        (MAP, 0.0, None, True),
        (LOSS, math.inf, None, True),
        (LOSS, 0.4, math.inf, True),
    ],
)
def test_a_value_is_better_than_another_by_the_mode_and_any_number_is_better_than_none(
    objective, value, than, expected
):
    assert objective.better(value, than=than) is expected


@pytest.mark.parametrize("objective", [MAP, LOSS])
@pytest.mark.parametrize("than", [None, 0.5, -math.inf, math.inf, math.nan])
def test_nan_is_never_better(objective, than):
    assert not objective.better(math.nan, than=than)


def test_more_utility_is_better():
    assert (MAP.utility(0.3), LOSS.utility(0.3)) == (0.3, -0.3)


def test_an_objective_is_shown_as_mode_and_metric_and_equals_a_pair():
    assert (str(MAP), str(LOSS)) == ("max val_map", "min val_loss")
    assert MAP == ("val_map", "max")
    assert dict([MAP, LOSS]) == {"val_map": "max", "val_loss": "min"}


def test_an_epoch_reports_all_epoch_measures(config):
    engine = Engine(config(), open_data(config().data))
    reported = engine.train_epoch() | engine.evaluate()
    assert set(EPOCH_MEASURES) <= set(reported)
    assert set(OBJECTIVES) - set(EPOCH_MEASURES) == set(TRIAL_MEASURES) == {"parameters", "latency_ms"}
