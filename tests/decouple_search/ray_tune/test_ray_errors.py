"""What Ray says of a lost trial, classified."""

import pytest

from decouple_search.ray_tune.ray_errors import Loss, loss_message, loss_of
from tests.decouple_search.ray_tune.stubs import StubTrial

WORKER = "ray.exceptions.ActorDiedError: The actor died\nThe actor is dead because its worker process has died.\n"
UNAVAILABLE = "ray.exceptions.ActorUnavailableError: The actor 12 is unavailable: RPC error\n"
UNEXPECTED = "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.\n"
MACHINE = "ray.exceptions.ActorDiedError: The actor died because its node has died. Node Id: 12\n"
TERMINATED = "ray.exceptions.ActorDiedError: The node was terminated by the autoscaler.\n"
PREEMPTED = "ray.exceptions.NodeDiedError: the node was preempted\n"
HUNG = "decouple_search.gang.errors.GangHungError: no worker made progress for 600 s\n"


def lost_trial(folder, *failures):
    """A trial with these failures in the file in which Tune keeps them."""
    for number, text in enumerate(failures, start=1):
        with (folder / "error.txt").open("a") as file:
            file.write(f"Failure # {number} (occurred at noon)\n{text}")
    return StubTrial("0000", folder=folder)


@pytest.mark.parametrize(
    ("text", "loss"),
    [
        (WORKER, Loss.WORKER),
        (HUNG, Loss.WORKER),
        ("ValueError: a fault in the code\n", Loss.WORKER),
        (MACHINE, Loss.MACHINE),
        (TERMINATED, Loss.MACHINE),
        (PREEMPTED, Loss.MACHINE),
        (UNAVAILABLE, Loss.UNCLEAR),
        (UNEXPECTED, Loss.UNCLEAR),
    ],
)
def test_loss_of(tmp_path, text, loss):
    assert loss_of(lost_trial(tmp_path, text)) is loss


def test_only_the_last_failure_counts(tmp_path):
    trial = lost_trial(tmp_path, MACHINE, UNAVAILABLE, HUNG)
    assert loss_of(trial) is Loss.WORKER
    assert loss_message(trial) == "no worker made progress for 600 s"


def test_the_message_is_the_last_error_of_a_traceback(tmp_path):
    text = f"Traceback (most recent call last):\nKeyError: 'not the cause'\n{HUNG}\tpid: 12\n"
    assert loss_message(lost_trial(tmp_path, text)) == "no worker made progress for 600 s"


def test_the_message_where_tune_wrote_nothing(tmp_path):
    assert loss_message(StubTrial("0000", folder=tmp_path)) == "its worker was lost"
