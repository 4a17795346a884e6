"""The machines that a cluster may have, as its file says: one of `ray up`, or KubeRay's RayCluster or RayJob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from decouplenet.config import load_yaml
from decouplenet.errors import InputError

QUANTITIES = {"m": 1e-3, "k": 1e3}
"""Suffixes of what Kubernetes counts CPUs in."""


class Kind(NamedTuple):
    """A type of machine."""

    name: str
    resources: dict[str, float]
    """`CPU` and `GPU`; empty where the file leaves it open."""
    least: int
    """Machines of it that are always there."""
    most: int
    priority: float
    """Of two that fit alike the higher is launched first."""


class Cluster(NamedTuple):
    """What a cluster's file says."""

    head: Kind
    kinds: tuple[Kind, ...]
    """The types of workers."""
    most: int
    """Workers of all types."""

    def launched(self, fit: Sequence[int]) -> list[Kind]:
        """The workers that there are at most, those that take the most first.

        Args:
            fit: how many workers of a trial fit on each kind's machine.
        """
        order = sorted(zip(fit, self.kinds, strict=True), key=lambda one: (-one[0], -one[1].priority))
        return [kind for _, kind in order for _ in range(kind.most)][: self.most]


def read_cluster(file: str) -> Cluster:
    """Read a cluster's file.

    Raises:
        InputError: it cannot be read, or is neither of the kinds.
    """
    content = load_yaml(file)
    try:
        if content.get("kind") in ("RayCluster", "RayJob"):
            spec = content["spec"]
            return _kuberay(spec["rayClusterSpec"] if content["kind"] == "RayJob" else spec)
        if "provider" in content:
            return _ray_up(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"--cluster: '{file}' is not a whole cluster file ({error!r})") from None
    raise InputError(f"--cluster: '{file}' is neither a file of `ray up` nor KubeRay's RayCluster or RayJob")


def _ray_up(content: Mapping[str, Any]) -> Cluster:
    most, name = content.get("max_workers", 2), content.get("head_node_type", "")
    kinds = {key: _type(key, kind, 0 if key == name else most) for key, kind in _types(content).items()}
    head = kinds.get(name) or Kind("head", {}, 1, 1, 0)
    at_hand = content["provider"].get("worker_ips")
    if at_hand and not kinds:  # machines of one's own, of which the file says nothing more
        return Cluster(head, (Kind("worker", {}, len(at_hand), len(at_hand), 0),), len(at_hand))
    return Cluster(head, tuple(kind for kind in kinds.values() if kind.most), most)


def _types(content: Mapping[str, Any]) -> Mapping[str, Any]:
    types: Mapping[str, Any] = content.get("available_node_types") or {}
    return types


def _type(name: str, kind: Mapping[str, Any], most: int) -> Kind:
    resources = {key: float(amount) for key, amount in (kind.get("resources") or {}).items()}
    return Kind(name, resources, kind.get("min_workers", 0), kind.get("max_workers", most), kind.get("priority", 0))


def _kuberay(spec: Mapping[str, Any]) -> Cluster:
    groups = tuple(
        Kind(
            group["groupName"],
            _pod(group),
            int(group.get("minReplicas", 0)),
            int(group.get("maxReplicas", group.get("replicas", 1))),
            float(group.get("priority", 0)),
        )
        for group in spec.get("workerGroupSpecs", [])
    )
    return Cluster(Kind("head", _pod(spec["headGroupSpec"]), 1, 1, 0), groups, sum(kind.most for kind in groups))


def _pod(group: Mapping[str, Any]) -> dict[str, float]:
    """The resources of a group's pods: what is given to Ray, or else the limits of its container."""
    given, container = group.get("rayStartParams") or {}, group["template"]["spec"]["containers"][0]
    asked = container.get("resources") or {}
    limits = {**(asked.get("requests") or {}), **(asked.get("limits") or {})}
    gpus = sum(_quantity(amount) for key, amount in limits.items() if key.endswith("/gpu"))
    cpus = given.get("num-cpus", limits.get("cpu", 0))
    return {"CPU": float(int(_quantity(cpus))), "GPU": _quantity(given.get("num-gpus", gpus))}


def _quantity(amount: Any) -> float:
    text = str(amount)
    return float(text[:-1]) * QUANTITIES[text[-1]] if text[-1:] in QUANTITIES else float(text)
