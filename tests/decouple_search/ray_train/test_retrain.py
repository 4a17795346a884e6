"""The config and the workers with which the winner of a search is trained in full."""

import contextlib
from types import SimpleNamespace

import pytest

from decouple_search.ray_train import retrain
from decouple_search.ray_train.messages import TrainReport
from decouple_search.ray_train.retrain import full_config, retrain_best, workers_for_batch
from decouple_search.results.tables import write_config
from decouple_search.storage.opening import open_folder


def test_held_out_images_are_trained_on(config):
    full = full_config(config(data__holdout=0.2, train__epochs=3, scaling__gpus_per_worker=0.25))
    assert (full.data.holdout, full.train.epochs, full.scaling.gpus_per_worker) == (0.0, 3, 1.0)
    assert full_config(config(scaling__gpus_per_worker=0.0)).scaling.gpus_per_worker == 0.0


@pytest.mark.parametrize(
    ("keys", "cpus", "workers"),
    [
        ({"train__batch_size": 64}, 2, 2),
        ({"train__batch_size": 64}, 100, 4),
        ({"train__batch_size": 64, "train__accumulation": 2}, 100, 2),
        ({"train__batch_size": 16}, 100, 1),
        ({"train__batch_size": 16, "scaling__workers_per_trial": 2}, 100, 2),
    ],
)
def test_each_worker_keeps_enough_images_for_batch_normalisation(config, keys, cpus, workers):
    assert workers_for_batch(config(**keys), [{"CPU": cpus}]) == workers


@pytest.mark.parametrize(("placement", "workers"), [("PACK", 8), ("STRICT_PACK", 4), ("STRICT_SPREAD", 2)])
def test_the_workers_fit_the_placement(config, placement, workers):
    placed = config(train__batch_size=128, scaling__placement_strategy=placement)
    assert workers_for_batch(placed, [{"CPU": 4}, {"CPU": 4}]) == workers


def test_the_training_gets_the_searchs_flags_and_the_workers_that_fit(config, monkeypatch, tmp_path):
    experiment = open_folder(str(tmp_path), "first")
    experiment.local.mkdir()
    best = config(data__holdout=0.2, train__batch_size=64, train__objective="val_loss")
    write_config(experiment.local / "best_config.yaml", best)
    requests, report = [], TrainReport(epoch=3, step=0, workers=2, measures={"val_loss": 0.5})

    def open_training(request):
        requests.append(request)
        return contextlib.nullcontext(SimpleNamespace(run=lambda: report))

    monkeypatch.setattr(retrain, "open_training", open_training)
    monkeypatch.setattr(retrain, "alive", lambda: [{"CPU": 2.0}])
    assert retrain_best(experiment, max_failures=3, cluster="cluster/aws.yaml") is report
    [request] = requests
    assert request.folder.local == experiment.local / "retrained"
    assert request.config == full_config(best)
    assert request.config.train.objective == "val_loss"
    assert (request.min_workers, request.max_workers) == (2, 2)
    assert (request.max_failures, request.cluster) == (3, "cluster/aws.yaml")
