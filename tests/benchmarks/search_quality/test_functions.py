"""The functions have the values, costs and crossings that they promise."""

import pickle

import numpy as np
import pytest

from benchmarks.search_quality.functions import FUNCTIONS, LOWEST, FunctionTable
from benchmarks.search_quality.table import draw_configs


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_zero_at_the_median_and_one_at_most(name):
    table = FunctionTable(name)
    configs = draw_configs(table.space, 200, seed=3)
    curves = np.array([table.curve(config) for config in configs])
    assert curves.shape == (200, table.epochs)
    assert curves.max() <= 1 + 1e-9
    assert curves.min() >= LOWEST
    assert abs(np.median(curves[:, -1])) < 0.2
    seconds = np.array([table.seconds(config) for config in configs])
    assert seconds.min() >= 10
    assert seconds.max() / seconds.min() > 2
    copy = pickle.loads(pickle.dumps(table))  # noqa: S301
    assert (copy.curve(configs[0]) == curves[0]).all()


def test_the_known_optimum_has_the_value_one():
    for name, config in {
        "conditional": {"optimiser": "adam", "lr": 1e-4 * 1e4**0.4, "beta": 0.8 + 0.6 * 0.199, "dropout": "on",
                        "rate": 0.24},
    }.items():  # fmt: skip
        assert FunctionTable(name).curve(config)[-1] == pytest.approx(1)
    for name in ("levy3", "bowl10", "bowl20", "crossing5"):
        table = FunctionTable(name)
        places = zip(table.space.parameters, table._optimum, strict=True)
        config = {parameter.key: parameter.value_at(place) for parameter, place in places}
        assert table.curve(config)[-1] > 0.999  # whole numbers are a little off


def test_all_60_points_differ_and_one_is_the_best():
    table = FunctionTable("grid60")
    values = [table.curve(config)[-1] for config in table.space.grid()]
    assert len(set(values)) == 60
    assert max(values) == 1


def test_good_configurations_start_slowly_where_curves_cross():
    def rank_of_the_best(name, epoch):
        table = FunctionTable(name)
        curves = np.array([table.curve(config) for config in draw_configs(table.space, 500)])
        best = curves[:, -1].argsort()[-15:]
        return np.median(curves[:, epoch].argsort().argsort()[best]) / 500

    assert rank_of_the_best("crossing5", 0) < 0.5
    assert rank_of_the_best("levy3", 0) > 0.9


def test_parameters_are_conditional_where_it_says_so():
    configs = draw_configs(FunctionTable("layers").space, 50)
    assert {len(config) for config in configs} == {3, 4, 5, 6}
