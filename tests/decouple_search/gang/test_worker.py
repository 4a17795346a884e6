"""A gang's worker in this process, without Ray: its devices, its progress, its checkpoints, and the data it keeps."""

import gc
import json

import pytest
import torch

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.gang.worker import GangWorker, WorkerLocation, backend_for, shared_devices
from decouplenet.backbones import build_backbone
from decouplenet.errors import InputError, TrainingFailed


@pytest.fixture(autouse=True)
def collected_again():
    """Garbage collection again looks at the objects that a worker excluded from it."""
    yield
    gc.unfreeze()


@pytest.fixture
def worker():
    threads = torch.get_num_threads()
    yield GangWorker(0, 1, 1, 0)
    torch.set_num_threads(threads)


def test_workers_on_a_machine_see_each_others_gpus():
    locations = [
        WorkerLocation("a", 1, ("2",)),
        WorkerLocation("b", 1, ("0",)),
        WorkerLocation("a", 1, ("0",)),
        WorkerLocation("b", 1, ("1",)),
    ]
    assert shared_devices(locations) == [("2,0", 0), ("0,1", 0), ("2,0", 1), ("0,1", 1)]
    assert backend_for(locations) == "nccl"


def test_workers_that_share_a_gpu_do_not_use_nccl():
    locations = [WorkerLocation("a", 1, ("3",)), WorkerLocation("a", 1, ("3",)), WorkerLocation("a", 1, ("1",))]
    assert shared_devices(locations) == [("3,1", 0), ("3,1", 0), ("3,1", 1)]
    assert backend_for(locations) == "gloo"
    assert backend_for([WorkerLocation("a", 1, ()), WorkerLocation("b", 1, ())]) == "gloo"
    assert backend_for([WorkerLocation("a", 1, ("3",)), WorkerLocation("b", 1, ("3",))]) == "nccl"


def test_data_stays_open_for_the_next_trial_that_reads_the_same_data(worker, config):
    worker.start(config())
    opened = worker._engine.data
    worker.start(config(optim__lr=0.5, model__head="gap", data__cutout=0.5, data__flip=False))
    assert worker._engine.data is opened
    worker.start(config(data__image_size=40))
    assert worker._engine.data is not opened


def test_images_and_feature_maps_stay_open_side_by_side(worker, config, tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save(build_backbone("tiny", pretrained=False)[0].state_dict(), weights)
    opened = []
    for _ in range(2):
        for frozen in (False, True):
            worker.start(config(model__pretrained=str(weights), train__freeze_backbone=frozen))
            opened.append(worker._engine.data)
    assert opened[0] is opened[2]
    assert opened[1] is opened[3]
    assert [data.backbone is None for data in opened[:2]] == [True, False]


def test_a_head_is_trained_first_once_and_not_after_a_checkpoint(worker, config, tmp_path):
    weights = tmp_path / "weights.pth"
    torch.save(build_backbone("tiny", pretrained=False)[0].state_dict(), weights)
    wanted = config(model__pretrained=str(weights), train__head_epochs=2)
    worker.start(wanted)
    before = worker._engine
    first = worker.train_epoch()
    assert worker._engine is not before
    assert first.measures["train_loss"] < start_loss(worker, config(model__pretrained=str(weights)))
    worker.start(wanted)
    assert worker.train_epoch().measures["train_loss"] == first.measures["train_loss"]
    files, trained = worker.checkpoint({}), worker._engine
    second = worker.train_epoch()
    assert worker._engine is trained
    worker.start(wanted)
    resumed = worker._engine
    worker.restore(files)
    assert worker.train_epoch().measures["train_loss"] == second.measures["train_loss"]
    assert worker._engine is resumed


def start_loss(worker, config):
    """The loss of the first epoch of a training from a new head."""
    worker.start(config)
    return worker.train_epoch().measures["train_loss"]


def test_torch_has_as_many_threads_as_the_worker_has_cpus(config):
    threads = torch.get_num_threads()
    for cpus, expected in ((3, 3), (2.9, 2), (0.5, 1)):
        GangWorker(0, 1, cpus, 0).start(config())
        assert torch.get_num_threads() == expected
    torch.set_num_threads(threads)


def test_progress_grows_with_every_call_and_every_batch(worker, config):
    progress = [worker.progress()]
    worker.start(config())
    progress.append(worker.progress())
    for _ in worker._engine._train.training(0, 0, flip=False):
        pass
    assert worker.progress() == progress[-1]  # nothing was trained
    worker.train_epoch()
    progress.append(worker.progress())
    worker.checkpoint({})
    progress.append(worker.progress())
    assert progress == sorted(set(progress))
    assert progress[2] - progress[1] >= 96 // 16 + 24 // 16


def test_an_epoch_has_its_measures_as_numbers_and_the_number_of_weights(worker, config):
    worker.start(config())
    result = worker.train_epoch()
    assert isinstance(result, EpochResult)
    assert (result.epoch, result.failure, result.lineage) == (1, None, ())
    assert {"val_map", "val_loss", "train_loss", "train_seconds", "eval_seconds", "images_per_second"} <= set(
        result.measures
    )
    assert all(isinstance(value, (int, float)) for value in result.measures.values())
    assert result.measures["parameters"] == sum(weight.numel() for weight in worker._engine.model.parameters())
    assert result.seconds == result.measures["train_seconds"] + result.measures["eval_seconds"]


def test_a_checkpoint_names_its_trial_and_a_training_resumes_from_it_exactly(worker, config):
    worker.start(config())
    worker.train_epoch()
    files = worker.checkpoint({"trial": "0007", "lineage": []})
    metrics = json.loads(files["metrics.json"])
    assert (metrics["trial"], metrics["epoch"]) == ("0007", 1)
    uninterrupted = worker.train_epoch()
    worker.start(config())
    worker.restore(files)
    resumed = worker.train_epoch()
    assert resumed.epoch == uninterrupted.epoch == 2
    for measure in ("train_loss", "val_map"):
        assert resumed.measures[measure] == uninterrupted.measures[measure]


def test_the_next_checkpoint_has_the_latency(worker, config):
    worker.start(config())
    worker.train_epoch()
    milliseconds = worker.latency()
    assert milliseconds > 0
    assert json.loads(worker.checkpoint({})["metrics.json"])["latency_ms"] == milliseconds


def test_after_an_error_the_worker_has_left_its_group_and_freed_its_engine(worker, config, monkeypatch):
    engines_at_leave = []
    monkeypatch.setattr(worker, "leave", lambda: engines_at_leave.append(worker._engine))
    worker.start(config(optim__lr=1e30))
    with pytest.raises(TrainingFailed, match="the loss is"):
        worker.train_epoch()
    assert engines_at_leave == [None]
    with pytest.raises(InputError, match="data.train_annotations: not given"):
        worker.start(config(data__format="coco"))
    assert len(engines_at_leave) == 2


def test_the_checkpoint_of_another_trial_brings_its_weights(worker, config):
    worker.start(config(train__seed=3))
    donor = worker.train_epoch()
    files = worker.checkpoint({"trial": "0001", "lineage": []})
    worker.start(config(train__seed=4, optim__lr=0.01, model__alpha=0.7))
    assert worker._engine.evaluate()["val_loss"] != donor.measures["val_loss"]
    worker.restore(files)
    assert worker._engine.evaluate()["val_loss"] == donor.measures["val_loss"]
