"""Grids: all combinations of a space, and the sampler that proposes them."""

import optuna
import pytest

from decouple_search.samplers.grid import GridSampler
from decouple_search.space.yaml_file import load_space

GRID = """
base: {model: {backbone: tiny, pretrained: false}}
search:
  model.attention: {choice: [none, arch1]}
  model.alpha: {float: [0.0, 1.0], step: 0.5}
  model.k_neg: {choice: [0.1, 0.2], when: {model.alpha: {gt: 0.6}}}
  model.maps_per_class: {int: [1, 3], step: 2}
"""


@pytest.fixture
def grid_space(tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text(GRID)
    return load_space(file)


def test_a_grid_has_each_combination_once_in_order_and_starts_again(grid_space):
    points = grid_space.grid()
    assert len(points) == 2 * (1 + 1 + 2) * 2
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)
    assert points[0] == {"model.attention": "none", "model.alpha": 0.0, "model.maps_per_class": 1}
    study = optuna.create_study(sampler=GridSampler(grid_space))
    proposals = [grid_space.suggest(study.ask()) for _ in range(len(points) + 1)]
    assert proposals == [*points, points[0]]


def test_imported_trials_take_no_point_of_the_grid(grid_space):
    study = optuna.create_study(sampler=GridSampler(grid_space))
    imported = optuna.trial.create_trial(value=0.5, user_attrs={"taken_from": "other 0000"})
    study.add_trial(imported)
    assert grid_space.suggest(study.ask()) == grid_space.grid()[0]
