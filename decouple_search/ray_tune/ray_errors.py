"""Ray's errors for a lost trial, classified: a worker died, a machine was lost, or Ray does not know yet."""

from __future__ import annotations

import re
from enum import Enum, auto

from decouple_search.ray_tune.compat import Trial, last_failure

MACHINE_LOST = ("node has died", "node was terminated", "preempted")
"""Ray's words where a whole machine is lost."""
ACTOR_LOST = ("ActorDiedError", "ActorUnavailableError")
"""Ray's errors where an actor is lost."""
WORKER_DIED = "its worker process has died"
"""Ray's words where only a worker is lost. Another lost actor may belong to a machine that has gone silent."""


class Loss(Enum):
    """The kinds of loss."""

    WORKER = auto()
    """A worker died or hung, or failed in a way that is not the configuration's."""
    MACHINE = auto()
    """A machine is lost."""
    UNCLEAR = auto()
    """An actor is lost, and Ray does not know yet whether its machine is."""


def loss_of(trial: Trial) -> Loss:
    """The kind of a trial's last loss."""
    text = last_failure(trial)
    if any(sign in text for sign in MACHINE_LOST):
        return Loss.MACHINE
    if any(error in text for error in ACTOR_LOST) and WORKER_DIED not in text:
        return Loss.UNCLEAR
    return Loss.WORKER


def loss_message(trial: Trial) -> str:
    """Why Tune gave a trial up or restarts it, in one line."""
    errors = re.findall(r"^[\w.]+(?:Error|Exception): (.+)", last_failure(trial), re.MULTILINE)
    return str(errors[-1]) if errors else "its worker was lost"
