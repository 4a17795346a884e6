"""Whether every machine of the connected Ray can write to a folder of results; asked before anything is trained."""

from __future__ import annotations

import contextlib
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from decouple_search.machines.compat import nodes
from decouple_search.machines.manifest import ClusterLimits
from decouple_search.storage.folder import Folder
from decouplenet.errors import InputError, one_line

PROBE = ".probe"
"""The file by which machines find out whether they share a folder."""
ANSWER_SECONDS = 120.0
"""Seconds in which a machine has to answer."""


def check_folder(folder: Folder, limits: ClusterLimits | None) -> None:
    """Refuse a folder that a machine of the connected Ray cannot write to.

    Args:
        folder: the folder of results.
        limits: the machines that the cluster file allows; None without a file.

    Raises:
        InputError: which machine cannot write, and why.
    """
    if folder.relative and limits and limits.max_workers:
        raise InputError(
            f"--storage: '{folder.shown}' is on this machine, and the cluster may add others; give a folder that all "
            "machines share, by its absolute path, or a URI such as s3://bucket/runs"
        )
    driver = ray.get_runtime_context().get_node_id()
    others = {node.node_id: node.address for node in nodes() if node.alive and node.node_id != driver}
    if not others:
        return
    folder.write(PROBE, driver.encode())
    system, path = folder.opened
    probe = f"{path}/{PROBE}"
    task: Any = ray.remote(num_cpus=0, max_retries=0)(_try_folder)
    try:
        calls = {
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                system, probe, driver, f"{probe}-{node}"
            ): address
            for node, address in others.items()
        }
        answered, late = ray.wait(list(calls), num_returns=len(calls), timeout=ANSWER_SECONDS)
        faults = [f"{calls[call]}: no answer in {ANSWER_SECONDS:g} s" for call in late]
        faults += [f"{calls[call]}: {fault}" for call in answered if (fault := _answer(call))]
    finally:
        with contextlib.suppress(OSError):
            system.delete_file(probe)
    if faults:
        rest = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise InputError(
            f"--storage: '{folder.shown}' cannot be used on {len(faults)} of {len(others) + 1} machines "
            f"({'; '.join(faults[:3])}{rest}); give a folder that all machines share, or a URI such as s3://bucket/runs"
        )


def _try_folder(system: Any, probe: str, content: str, own_file: str) -> str:
    """On another machine: read the driver's file and write a file. Returns what failed; empty if nothing did."""
    try:
        with system.open_input_stream(probe) as stream:
            if stream.read().decode() != content:
                return "another folder of the same name is there"
        with system.open_output_stream(own_file) as stream:
            stream.write(b"")
        system.delete_file(own_file)
    except OSError as error:
        return one_line(error)
    return ""


def _answer(call: Any) -> str:
    try:
        fault: str = ray.get(call)
    except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
        return ""  # the machine is gone, so it does not matter
    except ray.exceptions.RayError as error:
        return str(error).strip().splitlines()[-1]
    return fault
