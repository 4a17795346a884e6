"""A training's folder and objective, as far as they need no Ray."""

import json
import os
import signal
import sys

import pytest
import ray

from decouple_search.machines.connection import Connection
from decouple_search.ray_train.compat import SNAPSHOT
from decouple_search.ray_train.messages import TrainReport
from decouple_search.ray_train.request import TrainRequest
from decouple_search.ray_train.training import Training, interruptible, newest_checkpoint
from decouple_search.space.objective import Objective
from decouple_search.storage.opening import open_folder


@pytest.fixture
def make_training(config, tmp_path):
    """Make a training that is not started."""

    def make(*, has_validation=True, **keys):
        request = TrainRequest(
            folder=open_folder(str(tmp_path), "x"), config=config(**keys), min_workers=1, max_workers=1, max_failures=0
        )
        connection = Connection(owned=False, limits=lambda: None)
        return Training(
            request=request,
            config=request.config,
            connection=connection,
            has_validation=has_validation,
            start=None,
        )

    return make


@pytest.mark.parametrize(("metric", "mode"), [("val_map", "max"), ("val_loss", "min"), ("train_loss", "min")])
def test_the_best_epoch_is_chosen_by_the_configs_objective(make_training, metric, mode):
    assert make_training(train__objective=metric).objective == Objective(metric, mode)


@pytest.mark.parametrize(
    ("metric", "objective"),
    [("val_map", None), ("val_loss", None), ("train_loss", Objective("train_loss", "min"))],
)
def test_without_validation_images_no_epoch_is_chosen_by_them(make_training, metric, objective):
    assert make_training(train__objective=metric, has_validation=False).objective == objective


def write_checkpoint(folder, name, epoch, step, *, complete=True):
    """A checkpoint of a training; `complete` False as if its writing was cut off."""
    checkpoint = folder / "checkpoints" / name
    checkpoint.mkdir(parents=True)
    report = TrainReport(epoch=epoch, step=step, workers=1, saved="time" if step else "")
    (checkpoint / "metrics.json").write_text(json.dumps(report.to_ray() | {"class_names": ["a"]}))
    if complete:
        (checkpoint / "state.pt").touch()


@pytest.mark.parametrize("content", ['{"ray_ver', '{"ray_version": "0.1"}', "[]", "{}"])
def test_a_list_of_checkpoints_that_ray_cannot_read_is_renamed(tmp_path, capsys, content):
    write_checkpoint(tmp_path, "a", 1, 0)
    write_checkpoint(tmp_path, "b", 1, 7)
    write_checkpoint(tmp_path, "c", 2, 0, complete=False)
    snapshot = tmp_path / "checkpoints" / SNAPSHOT
    snapshot.write_text(content)
    assert newest_checkpoint(tmp_path) == str(tmp_path / "checkpoints" / "b")
    assert not snapshot.exists()
    assert snapshot.with_suffix(".unreadable").read_text() == content
    assert "cannot be read; resuming from the newest checkpoint beside it" in capsys.readouterr().out


def test_ray_train_resumes_by_itself_where_it_can_read_its_list(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    write_checkpoint(tmp_path, "a", 1, 0)
    assert newest_checkpoint(tmp_path) is None
    (tmp_path / "checkpoints" / SNAPSHOT).write_text(json.dumps({"ray_version": ray.__version__}))
    assert newest_checkpoint(tmp_path) is None
    assert (tmp_path / "checkpoints" / SNAPSHOT).exists()


def test_a_training_without_a_complete_checkpoint_starts_from_the_beginning(tmp_path):
    write_checkpoint(tmp_path, "a", 1, 0, complete=False)
    (tmp_path / "checkpoints" / SNAPSHOT).write_text("")
    assert newest_checkpoint(tmp_path) is None


@pytest.fixture
def handler_of_sigint():
    """Set the handler of SIGINT, which a shell's background jobs ignore, until the test ends."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_keyboard_interrupt_and_the_handlers_are_restored(number, handler_of_sigint):
    handler_of_sigint(signal.default_int_handler)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def training_that_gets_a_signal():
        os.kill(os.getpid(), number)
        signal.pause()

    with pytest.raises(KeyboardInterrupt), interruptible():
        training_that_gets_a_signal()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_sigterm_interrupts_a_background_job_too(handler_of_sigint):
    handler_of_sigint(signal.SIG_IGN)

    def training_that_gets_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    with pytest.raises(KeyboardInterrupt), interruptible():
        training_that_gets_sigterm()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_rays_own_handler_is_removed_and_its_exit_is_a_keyboard_interrupt():
    """Ray Train replaces the handler of SIGINT by one that ends the process."""
    before = signal.getsignal(signal.SIGINT)

    def training_with_rays_handler():
        signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()

    with pytest.raises(KeyboardInterrupt), interruptible():
        training_with_rays_handler()
    assert signal.getsignal(signal.SIGINT) == before
