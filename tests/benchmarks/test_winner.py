"""Figures of searches whose winners are judged by further seeds, and the training that judges them."""

import pytest
import torch

from benchmarks.winner import Pick, best_value, figures
from decouple_search.space.shipped import space_file
from decouple_search.space.yaml_file import load_space
from decouplenet.config import Config
from decouplenet.data.opened import open_data
from decouplenet.dotted_keys import nest
from decouplenet.engine import Engine


def test_the_figures_are_means_over_searches():
    picks = [Pick(0.9, 0.8, 0.85, False, 0.86), Pick(0.8, 0.75, 0.75, True, 0.74)]
    assert list(figures(picks)) == [
        "2 searches: the claim is 0.0750 above what fresh seeds give",
        "the finalists' promise is 0.0000 above what fresh seeds give",
        "fresh seeds give the search's pick 0.7750, the finalists' pick 0.8000",
    ]


@pytest.fixture
def single_thread():
    """Train with one thread, as the benchmark does: sums are rounded alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("single_thread")
def test_a_training_is_judged_by_its_best_epoch(tmp_path):
    space = load_space(space_file("demo"))
    small = {"data.synthetic_images": 120, "data.cache": str(tmp_path), "train.epochs": 3, "optim.lr": 0.1}
    point = space.base | space.start[0] | small
    config = Config.from_dict(nest(point))
    engine, values = Engine(config, open_data(config.data)), []
    for _ in range(3):
        engine.train_epoch()
        values.append(engine.evaluate()["val_map"])
    engine.close()
    assert values[-1] < max(values)
    assert best_value(point) == pytest.approx(max(values), abs=1e-6)
