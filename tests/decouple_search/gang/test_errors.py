"""The errors of a gang: which mean that a worker is lost, and which of several caused the others."""

import pytest
import ray

from decouple_search.gang.errors import GangHungError, is_loss, message_of, root_cause
from decouplenet.errors import InputError, TrainingFailed


def task_error(cause):
    """An error in a worker, as Ray raises it in the caller: an instance of the cause's class too."""
    return ray.exceptions.RayTaskError("train_epoch", "Traceback of the worker", cause).as_instanceof_cause()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ray.exceptions.ActorDiedError(), True),
        (ray.exceptions.WorkerCrashedError(), True),
        (ray.exceptions.OutOfMemoryError("the machine has no memory left"), True),
        (GangHungError("no worker made progress"), True),
        (task_error(TrainingFailed("the loss is nan")), False),
        (task_error(RuntimeError("connection closed by peer")), False),
        (TrainingFailed("the loss is nan"), False),
        (ValueError("wrong"), False),
    ],
)
def test_a_dead_or_hung_worker_is_a_loss_and_an_error_in_a_worker_is_not(error, expected):
    assert is_loss(error) is expected


def test_a_loss_causes_the_others_and_then_a_failure_of_the_configuration():
    collective = task_error(RuntimeError("connection closed by peer"))
    failure, loss = task_error(InputError("no such file")), ray.exceptions.ActorDiedError()
    assert root_cause([collective, failure, loss]) is loss
    assert root_cause([collective, failure]) is failure
    assert root_cause([collective]) is collective
    hung = GangHungError("no worker made progress")
    assert root_cause([failure, hung]) is hung


def test_the_message_is_the_first_line_of_the_workers_own_error():
    assert message_of(task_error(TrainingFailed("the loss is nan\nin epoch 2"))) == "the loss is nan"
    assert message_of(GangHungError("no worker made progress\nrank 0")) == "no worker made progress"
