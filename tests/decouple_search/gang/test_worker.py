"""A gang's worker in this process, without Ray: devices, state, and what stays from one trial to the next."""

import gc
import json

import pytest
import torch

from decouple_search.gang.worker import GangWorker, Seat, backend_for, shared_devices
from decouplenet.errors import InputError, TrainingFailed


@pytest.fixture(autouse=True)
def unfrozen():
    """What a worker took out of the garbage collection comes back into it, as this process goes on."""
    yield
    gc.unfreeze()


@pytest.fixture
def worker():
    threads = torch.get_num_threads()
    yield GangWorker(0, 1, 1, 0)
    torch.set_num_threads(threads)


def test_workers_of_a_machine_see_each_others_gpus():
    seats = [Seat("a", 1, ("2",)), Seat("b", 1, ("0",)), Seat("a", 1, ("0",)), Seat("b", 1, ("1",))]
    assert shared_devices(seats) == [("2,0", 0), ("0,1", 0), ("2,0", 1), ("0,1", 1)]
    assert backend_for(seats) == "nccl"


def test_workers_that_share_a_gpu_do_without_nccl():
    seats = [Seat("a", 1, ("3",)), Seat("a", 1, ("3",)), Seat("a", 1, ("1",))]
    assert shared_devices(seats) == [("3,1", 0), ("3,1", 0), ("3,1", 1)]
    assert backend_for(seats) == "gloo"
    assert backend_for([Seat("a", 1, ()), Seat("b", 1, ())]) == "gloo"
    assert backend_for([Seat("a", 1, ("3",)), Seat("b", 1, ("3",))]) == "nccl"


def test_data_stays_open_between_trials_that_read_the_same(worker, config):
    worker.start(config().to_dict())
    opened = worker._data
    worker.start(config(optim__lr=0.5, model__head="gap", data__cutout=0.5, data__flip=False).to_dict())
    assert worker._data is opened
    worker.start(config(data__image_size=40).to_dict())
    assert worker._data is not opened


def test_threads_follow_the_cpus(config):
    threads = torch.get_num_threads()
    for cpus, expected in ((3, 3), (2.9, 2), (0.5, 1)):
        GangWorker(0, 1, cpus, 0).start(config().to_dict())
        assert torch.get_num_threads() == expected
    torch.set_num_threads(threads)


def test_whoever_watches_sees_it_get_on(worker, config):
    seen = [worker.progress()]
    worker.start(config().to_dict())
    seen.append(worker.progress())
    for _ in worker._engine._train.training(0, 0, flip=False):
        pass
    assert worker.progress() == seen[-1]  # nothing was trained
    worker.train_epoch()
    seen.append(worker.progress())
    worker.checkpoint({})
    seen.append(worker.progress())
    assert seen == sorted(set(seen))
    assert seen[2] - seen[1] >= 96 // 16 + 24 // 16


def test_a_checkpoint_says_whose_it_is_and_goes_on_where_it_was(worker, config):
    worker.start(config().to_dict())
    worker.train_epoch()
    files = worker.checkpoint({"trial": "0007", "lineage": []})
    told = json.loads(files["metrics.json"])
    assert (told["trial"], told["epoch"]) == ("0007", 1)
    straight = worker.train_epoch()
    worker.start(config().to_dict())
    worker.restore(files)
    again = worker.train_epoch()
    assert (again["epoch"], again["train_loss"], again["val_map"]) == (2, straight["train_loss"], straight["val_map"])


def test_an_error_takes_the_worker_out_of_its_group_and_lets_go_of_the_training(worker, config, monkeypatch):
    left = []
    monkeypatch.setattr(worker, "leave", lambda: left.append(worker._engine))
    worker.start(config(optim__lr=1e30).to_dict())
    with pytest.raises(TrainingFailed, match="the loss is"):
        worker.train_epoch()
    assert left == [None]
    with pytest.raises(InputError, match="unknown key 'model.alpah'"):
        worker.start({"model": {"alpah": 1}})
    assert len(left) == 2


def test_another_trials_checkpoint_brings_its_weights(worker, config):
    worker.start(config(train__seed=3).to_dict())
    donor = worker.train_epoch()
    files = worker.checkpoint({"trial": "0001", "lineage": []})
    worker.start(config(train__seed=4, optim__lr=0.01, model__alpha=0.7).to_dict())
    assert worker.evaluate()["val_loss"] != donor["val_loss"]
    worker.restore(files)
    assert worker.evaluate()["val_loss"] == donor["val_loss"]
