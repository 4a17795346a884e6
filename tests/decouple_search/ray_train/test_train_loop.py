"""What a training's workers and its driver decide: when to save, and what the driver hears of losses."""

import itertools
from types import SimpleNamespace

import pytest
from ray.exceptions import RayActorError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from decouple_search.ray_train import train_loop
from decouple_search.ray_train.messages import TrainReport, WorkerLost
from decouple_search.ray_train.train_loop import (
    SAVE_SECONDS,
    STEPS_PER_QUESTION,
    DriverCallback,
    SaveSignal,
    first_failure,
)
from decouplenet.errors import InputError


def worker_death(message):
    """Ray Train's error for a worker whose process has ended."""
    return WorkerHealthCheckFailedError(message, RayActorError(error_msg="The actor died unexpectedly."))


@pytest.mark.parametrize(
    ("failures", "text"),
    [
        ({0: RuntimeError("Connection closed by peer"), 1: worker_death("Worker 1 health check failed.")},
         "worker 1: The actor died unexpectedly."),
        ({1: KeyError("x"), 2: KeyError("y")}, "worker 1: KeyError: 'x'"),
        ({0: RuntimeError()}, "worker 0: RuntimeError: "),
    ],
)  # fmt: skip
def test_a_workers_death_comes_before_the_errors_of_those_that_waited_for_it(failures, text):
    assert first_failure(failures) == text


@pytest.fixture
def callback():
    """A callback, and the list of what it put into its queue."""
    messages = []
    return DriverCallback(SimpleNamespace(put=messages.append)), messages


def test_the_driver_hears_of_a_loss_once_until_the_next_report(callback):
    callback, messages = callback
    for _ in range(3):
        callback.after_exception(None, {0: KeyError("x")})
    report = TrainReport(epoch=1, step=0, workers=2, measures={"val_map": 0.5})
    callback.after_report(None, [report.to_ray(), report.to_ray()], None)
    callback.after_exception(None, {0: KeyError("x")})
    lost = WorkerLost("worker 0: KeyError: 'x'")
    assert messages == [lost, report, lost]


def test_an_error_that_the_user_has_to_fix_ends_the_training(callback):
    callback, messages = callback
    with pytest.raises(InputError, match="no image"):
        callback.after_exception(None, {0: RuntimeError("Connection closed by peer"), 1: InputError("no image")})
    assert messages == []


def test_each_notice_and_each_long_epoch_saves_once(monkeypatch):
    notices = [set(), {"a"}, {"a"}, {"a"}, {"a", "b"}, {"b"}]
    answers = iter(notices)
    monkeypatch.setattr(train_loop.compat, "doomed_nodes", lambda: next(answers))
    monkeypatch.setattr(train_loop.compat, "any_on_rank_zero", lambda late: late)
    clock = itertools.count()
    monkeypatch.setattr(train_loop.time, "monotonic", lambda: next(clock) * 0.7 * SAVE_SECONDS)
    signal, reasons = SaveSignal(), []
    for step in range(len(notices) * STEPS_PER_QUESTION):
        if signal():
            reasons.append((step // STEPS_PER_QUESTION, signal.reason))
            signal.reset()
    assert list(answers) == []
    # The clock moves by 0.7 of SAVE_SECONDS at each look. It is looked at for each question and at each reset.
    assert reasons == [(1, "notice"), (3, "time"), (4, "notice")]


def test_an_error_on_this_worker_is_raised_where_it_is_the_only_worker():
    def fail():
        raise InputError("no image")

    with pytest.raises(InputError, match="no image"):
        train_loop._on_all(fail, 1)
    assert train_loop._on_all(lambda: "data", 1) == "data"
