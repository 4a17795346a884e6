"""Uses of Ray that rely on more than its documentation promises: its list of machines, its session's name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import ray

HEAD_RESOURCE = "node:__internal_head__"
"""Ray gives this resource to the head's machine."""
BOOTSTRAP_FILE = "~/ray_bootstrap_config.yaml"
"""`ray up` leaves the cluster's configuration in this file on the head. A job's driver runs there."""


class Node(NamedTuple):
    """A machine of the connected Ray."""

    node_id: str
    """Ray's id of it."""
    address: str
    """Its address in the cluster."""
    alive: bool
    """Whether Ray still has it."""
    resources: Mapping[str, float]
    """Its resources, `CPU` and `GPU` among them."""


def nodes() -> list[Node]:
    """All machines that the connected Ray has or had."""
    return [Node(node["NodeID"], node["NodeManagerAddress"], node["Alive"], node["Resources"]) for node in ray.nodes()]


def started_by_this_process(context: Any) -> bool:
    """Whether `ray.init`, which gave this context, started a Ray, instead of joining one.

    A session's folder ends with the id of the process that started it.
    """
    started: bool = context.address_info["session_dir"].endswith(f"_{os.getpid()}")
    return started
