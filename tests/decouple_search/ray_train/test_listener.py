"""What a training prints and plots while its driver waits."""

import queue

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from decouple_search.ray_train.listener import Listener
from decouple_search.ray_train.messages import TrainReport, WorkerLost
from decouple_search.storage.opening import open_folder
from decouplenet.errors import InputError


@pytest.fixture
def folder(tmp_path):
    folder = open_folder(str(tmp_path), "x")
    folder.local.mkdir()
    return folder


@pytest.fixture
def listen(folder, config, capsys):
    """Give messages to a listener; returns the lines that it prints, without the clock."""

    def listen(*messages, **keys):
        listener = Listener(queue.Queue(), config(train__epochs=4, **keys).train, folder)
        listener.start()
        for message in messages:
            listener._queue.put(message)
        listener.finish()
        return [line.partition(" s  ")[2] or line for line in capsys.readouterr().out.splitlines()]

    return listen


def epoch_report(epoch, **measures):
    measures = {"train_loss": 1.5, "val_map": 0.25, "val_loss": 0.75, "images_per_second": 12.4} | measures
    return TrainReport(epoch=epoch, step=0, workers=2, measures=measures)


@pytest.mark.parametrize(
    ("objective", "values"),
    [
        ("val_map", "train_loss 1.5000  val_map 0.2500"),
        ("val_loss", "train_loss 1.5000  val_loss 0.7500"),
        ("train_loss", "train_loss 1.5000"),
    ],
)
def test_an_epoch_is_printed_with_the_trainings_objective(listen, objective, values):
    [line] = listen(epoch_report(1), train__objective=objective)
    assert line == f"epoch 1/4  {values}  12 images/s on 2 workers"


def test_without_validation_images_only_the_loss_is_printed(listen):
    report = TrainReport(epoch=1, step=0, workers=2, measures={"train_loss": 1.5, "images_per_second": 12.4})
    assert listen(report) == ["epoch 1/4  train_loss 1.5000  12 images/s on 2 workers"]


def test_a_loss_says_what_is_saved(listen):
    lost = WorkerLost("worker 1: The actor died unexpectedly.")
    part = TrainReport(epoch=1, step=7, workers=2, saved="notice")
    late = TrainReport(epoch=2, step=9, workers=2, saved="time")
    lines = listen(lost, epoch_report(1), lost, part, lost, late)
    prefix = "lost worker 1: The actor died unexpectedly.; saved so far: "
    assert [line for line in lines if line.startswith("lost")] == [
        f"{prefix}the beginning",
        f"{prefix}the end of epoch 1",
        f"{prefix}epoch 2, step 7",
    ]
    assert "epoch 2, step 7: saved, because a machine is about to be taken away" in lines
    assert lines[-1] == "epoch 3, step 9: saved"


def test_a_resumed_training_has_a_checkpoint_saved(listen, folder):
    (folder.local / "checkpoints").mkdir()
    [line] = listen(WorkerLost("worker 0: x"))
    assert line.endswith("; saved so far: its last checkpoint")


def test_a_note_is_printed_once(listen):
    reports = [TrainReport(epoch=e, step=0, workers=2, measures=epoch_report(e).measures, note=n) for e, n in NOTES]
    lines = listen(*reports)
    assert [line for line in lines if not line.startswith("epoch")] == ["slow disk", "slower disk"]


NOTES = [(1, "slow disk"), (2, "slow disk"), (3, ""), (4, "slower disk")]


def test_tensorboard_has_the_epochs(listen, folder):
    listen(epoch_report(1), epoch_report(2, val_map=0.5), TrainReport(epoch=2, step=5, workers=2, saved="time"))
    events = EventAccumulator(str(folder.local / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("val/map")] == [(1, 0.25), (2, 0.5)]


def test_the_storage_is_brought_up_to_date_after_each_epoch(listen, folder, monkeypatch):
    pushed = []
    monkeypatch.setattr(type(folder), "push", lambda self, last="": pushed.append(last))
    listen(epoch_report(1), epoch_report(2))
    assert len(pushed) == 2


def test_a_storage_that_fails_is_a_warning(listen, folder, monkeypatch):
    def fail(self, last=""):
        raise InputError("--storage: 's3://bucket/x' cannot be used")

    monkeypatch.setattr(type(folder), "push", fail)
    lines = listen(epoch_report(1), epoch_report(2))
    assert lines.count("warning: --storage: 's3://bucket/x' cannot be used") == 2
    assert any(line.startswith("epoch 2/4") for line in lines)
