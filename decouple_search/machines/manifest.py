"""The machines that a cluster may have, from its file: a file of `ray up`, or KubeRay's RayCluster or RayJob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from decouplenet.errors import InputError
from decouplenet.yaml_text import load_yaml

QUANTITIES = {"m": 1e-3, "k": 1e3}
"""Suffixes of Kubernetes' numbers of CPUs."""


class MachineType(NamedTuple):
    """A type of machine."""

    name: str
    resources: dict[str, float]
    """`CPU` and `GPU`; empty where the file does not say."""
    minimum: int
    """The machines of this type that are always there."""
    maximum: int
    """The most machines of this type."""
    priority: float
    """Of two types that fit equally well, the one with the higher priority is launched first."""


class ClusterLimits(NamedTuple):
    """The machines that a cluster may have."""

    head: MachineType
    machine_types: tuple[MachineType, ...]
    """The types of worker machines."""
    max_workers: int
    """Worker machines of all types together."""
    autoscales: bool = True
    """Whether machines are launched for trials that wait. Otherwise all are there, and a search asks Ray what they
    have: the file's `resources` are for the plan alone."""

    def launched(self, fit: Sequence[int]) -> list[MachineType]:
        """The worker machines of the cluster at its largest; types that take the most workers come first.

        Args:
            fit: for each type, how many workers of a trial fit on a machine of it.
        """
        by_fit = sorted(zip(fit, self.machine_types, strict=True), key=lambda pair: (-pair[0], -pair[1].priority))
        return [machine_type for _, machine_type in by_fit for _ in range(machine_type.maximum)][: self.max_workers]


def read_cluster(file: str) -> ClusterLimits:
    """Read a cluster file.

    Raises:
        InputError: it cannot be read, or is neither of the two kinds of file.
    """
    content = load_yaml(file)
    try:
        if content.get("kind") in ("RayCluster", "RayJob"):
            spec = content["spec"]
            return _kuberay(spec["rayClusterSpec"] if content["kind"] == "RayJob" else spec)
        if "provider" in content:
            return _ray_up(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"--cluster: '{file}' is not a complete cluster file ({error!r})") from None
    raise InputError(f"--cluster: '{file}' is neither a file of `ray up` nor KubeRay's RayCluster or RayJob")


def _ray_up(content: Mapping[str, Any]) -> ClusterLimits:
    max_workers, name = content.get("max_workers", 2), content.get("head_node_type", "")
    types = {key: _type(key, given, 0 if key == name else max_workers) for key, given in _types(content).items()}
    head = types.get(name) or MachineType("head", {}, 1, 1, 0)
    addresses = content["provider"].get("worker_ips")
    if addresses and not types:
        return _own_machines(content.get("metadata") or {}, len(addresses))
    return ClusterLimits(head, tuple(each for each in types.values() if each.maximum), max_workers)


def _own_machines(metadata: Mapping[str, Any], count: int) -> ClusterLimits:
    """The user's own machines. Ray's provider `local` has no key for what they have, so `metadata` has it."""
    resources = _resources(metadata)
    head = MachineType("head", {"CPU": 0.0} if resources else {}, 1, 1, 0)
    return ClusterLimits(head, (MachineType("worker", resources, count, count, 0),), count, autoscales=False)


def _types(content: Mapping[str, Any]) -> Mapping[str, Any]:
    types: Mapping[str, Any] = content.get("available_node_types") or {}
    return types


def _type(name: str, given: Mapping[str, Any], maximum: int) -> MachineType:
    limits = given.get("min_workers", 0), given.get("max_workers", maximum)
    return MachineType(name, _resources(given), *limits, given.get("priority", 0))


def _resources(section: Mapping[str, Any]) -> dict[str, float]:
    """The `resources` of a section; empty where it does not give them."""
    return {key: float(amount) for key, amount in (section.get("resources") or {}).items()}


def _kuberay(spec: Mapping[str, Any]) -> ClusterLimits:
    groups = tuple(
        MachineType(
            group["groupName"],
            _pod(group),
            int(group.get("minReplicas", 0)),
            int(group.get("maxReplicas", group.get("replicas", 1))),
            float(group.get("priority", 0)),
        )
        for group in spec.get("workerGroupSpecs", [])
    )
    return ClusterLimits(
        MachineType("head", _pod(spec["headGroupSpec"]), 1, 1, 0), groups, sum(group.maximum for group in groups)
    )


def _pod(group: Mapping[str, Any]) -> dict[str, float]:
    """The resources of a group's pods: the parameters of `ray start`, or else the limits of the container."""
    given, container = group.get("rayStartParams") or {}, group["template"]["spec"]["containers"][0]
    resources = container.get("resources") or {}
    limits = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    gpus = sum(_quantity(amount) for key, amount in limits.items() if key.endswith("/gpu"))
    cpus = given.get("num-cpus", limits.get("cpu", 0))
    return {"CPU": float(int(_quantity(cpus))), "GPU": _quantity(given.get("num-gpus", gpus))}


def _quantity(amount: Any) -> float:
    text = str(amount)
    return float(text[:-1]) * QUANTITIES[text[-1]] if text[-1:] in QUANTITIES else float(text)
