"""What the winner of a search is trained with and on, once it is trained in full."""

import contextlib
from types import SimpleNamespace

import pytest

from decouple_search.ray_train import retrain
from decouple_search.ray_train.retrain import full_config, retrain_best, workers_for
from decouple_search.results.tables import write_best_config
from decouple_search.storage.folder import Folder


def test_what_was_held_out_joins_the_training(config):
    full = full_config(config(data__holdout=0.2, train__epochs=3, scaling__gpus_per_worker=0.25))
    assert (full.data.holdout, full.train.epochs, full.scaling.gpus_per_worker) == (0.0, 3, 1.0)
    assert full_config(config(scaling__gpus_per_worker=0.0)).scaling.gpus_per_worker == 0.0


@pytest.mark.parametrize(
    ("keys", "room", "workers"),
    [
        ({"train__batch_size": 64}, 2, 2),
        ({"train__batch_size": 64}, 100, 4),
        ({"train__batch_size": 64, "train__accumulation": 2}, 100, 2),
        ({"train__batch_size": 16}, 100, 1),
        ({"train__batch_size": 16, "scaling__workers_per_trial": 2}, 100, 2),
    ],
)
def test_workers_keep_images_enough_for_batch_normalisation(config, keys, room, workers):
    assert workers_for(config(**keys), [{"CPU": room}]) == workers


@pytest.mark.parametrize(("placement", "workers"), [("PACK", 8), ("STRICT_PACK", 4), ("STRICT_SPREAD", 2)])
def test_workers_fit_where_they_may_be(config, placement, workers):
    packed = config(train__batch_size=128, scaling__placement_strategy=placement)
    assert workers_for(packed, [{"CPU": 4}, {"CPU": 4}]) == workers


def test_it_is_told_of_the_machines_that_may_be_added(config, monkeypatch, tmp_path):
    experiment = Folder(str(tmp_path), "first")
    experiment.local.mkdir()
    write_best_config(experiment.local / "best_config.yaml", config(data__holdout=0.2, train__batch_size=64))
    asked = []

    def training(folder, wanted, workers, **rest):
        asked.append((folder.local, wanted.data.holdout, workers, rest))
        return contextlib.nullcontext(SimpleNamespace(run=lambda: {"val_map": 0.5}))

    monkeypatch.setattr(retrain, "Training", training)
    monkeypatch.setattr(retrain.ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    assert retrain_best(experiment, max_failures=3, cluster="cluster/aws.yaml") == {"val_map": 0.5}
    rest = {"max_failures": 3, "cluster": "cluster/aws.yaml"}
    assert asked == [(experiment.local / "retrained", 0.0, (2, 2), rest)]
