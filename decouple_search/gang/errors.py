"""The errors of a gang: lost workers and failed trainings, and the root cause among several errors."""

from __future__ import annotations

from collections.abc import Sequence

import ray

from decouplenet.errors import InputError, TrainingFailed


class GangHungError(RuntimeError):
    """No worker of a gang made progress for `scaling.hang_timeout` seconds."""


FAILURES = (TrainingFailed, InputError)
"""Errors of a configuration. The workers are sound."""


def is_loss(error: BaseException) -> bool:
    """Whether an error means that a worker is lost: it died, ran out of memory on its machine, or hangs."""
    lost = isinstance(error, ray.exceptions.RayError) and not isinstance(error, ray.exceptions.RayTaskError)
    return lost or isinstance(error, GangHungError)


def root_cause(errors: Sequence[Exception]) -> Exception:
    """The error that caused the others, among the errors of several workers in one call.

    A worker that waits for a dead or failed worker gets an error of the collective, often before Ray knows of the
    death.
    """
    losses = [error for error in errors if is_loss(error)]
    failures = [error for error in errors if isinstance(error, FAILURES)]
    return [*losses, *failures, *errors][0]


def message_of(error: Exception) -> str:
    """The first line of a worker's error, without Ray's account of where it was raised."""
    cause = getattr(error, "cause", None) or error
    return str(cause).partition("\n")[0]
