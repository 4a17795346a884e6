"""Uses of Ray Train that rely on more than its documentation promises. Each has a contract test."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import ray.train
import ray.train.collective
import ray.train.torch

API: Any = ray.train
"""Ray Train's API of version 2. The package declares the types of version 1."""
SNAPSHOT = "checkpoint_manager_snapshot.json"
"""The file, beside its checkpoints, in which Ray Train keeps its list of them."""


def cause_of(failure: BaseException) -> BaseException:
    """The cause of a failed training: the driver's own error, or the failure itself."""
    cause: BaseException = getattr(failure, "controller_failure", failure)
    return cause


def worker_failures(failure: BaseException) -> dict[int, Exception]:
    """The errors of the workers by rank; empty if the failure is not theirs."""
    failures: dict[int, Exception] = getattr(failure, "worker_failures", {})
    return failures


def snapshot_is_readable(file: Path) -> bool:
    """Whether this version of Ray Train will read its list of checkpoints.

    Ray writes the list in place, so a kill or a full disk can leave a part of it. Another version refuses it.
    """
    try:
        readable: bool = json.loads(file.read_text())["ray_version"] == ray.__version__
    except (ValueError, TypeError, KeyError):
        return False
    return readable


def doomed_nodes() -> set[str]:
    """The ids of machines of this training that are about to be taken away."""
    info = ray.train.get_preemption_info()
    return set(info.preempted_node_ids) if info else set()


def any_on_rank_zero(value: Any) -> Any:
    """Rank 0's value, on all workers."""
    return ray.train.collective.broadcast_from_rank_zero(value)
