"""The Ray that a search runs on: joining it, the machines that it has or may get, and how it is told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from decouple_search.machines.manifest import Cluster, read_cluster
from decouple_search.plan import resolve_gpus, slots, with_growth
from decouple_search.storage.folder import Folder, in_job
from decouplenet.command_line import print_line
from decouplenet.config import Config
from decouplenet.errors import InputError

BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""Where `ray up` leaves the cluster's configuration on its head, which is where a job's driver runs."""
JOIN = 300.0
"""Seconds in which machines that are always there have to join."""
LOOK = 5.0
"""Seconds between two looks at which are there."""
PROBE = ".probe"
"""A file by which machines see that they share a folder."""
ANSWER = 120.0
"""Seconds in which a machine has to answer."""


Growth = Callable[[], Cluster | None]
"""Gives what the cluster's file says by now; None where no machines are added."""


class Connection(NamedTuple):
    """The Ray that this process is connected to."""

    ours: bool
    """Whether this process was not connected before, and is not to stay so."""
    growth: Growth
    """The machines that may be added."""


def connect(file: str | None = None) -> Connection:
    """Join the cluster that a Ray job or RAY_ADDRESS names, or the one that `ray start` made here, or start a Ray.

    Args:
        file: of the cluster; by default what `ray up` left on its head, where this is one.

    Raises:
        InputError: no Ray answers, or the file is no cluster's.
    """
    named = read_cluster(file) if file else None
    joined: Growth = (lambda: named) if file else launched
    logging.getLogger("ray").setLevel(logging.ERROR)  # what Tune notices is in our own output
    # So is a trial's error; where it was raised is in trials/<id>/error.txt.
    logging.getLogger("ray.tune.execution.tune_controller").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        return Connection(False, joined)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if not in_job() and "RAY_ADDRESS" not in os.environ:
        options["include_dashboard"] = False
    try:
        context: Any = ray.init(**options)
    except ConnectionError as error:
        reason = str(error).partition("\n")[0]
        if "RAY_ADDRESS" not in os.environ:
            raise InputError(f"Ray: the one that was started here is gone ({reason}); `ray stop` forgets it") from None
        raise InputError(f"RAY_ADDRESS: no Ray answers at '{os.environ['RAY_ADDRESS']}' ({reason})") from None
    # Begun by this process, it gets no machines, whatever file an earlier cluster left here.
    begun = context.address_info["session_dir"].endswith(f"_{os.getpid()}")
    return Connection(True, (lambda: None) if begun else joined)


def machines(config: Config, cluster: Cluster | None) -> tuple[Config, list[Mapping[str, float]]]:
    """`CPU` and `GPU` of each machine of the connected Ray, with those that its autoscaler may still add.

    Args:
        config: its scaling section says what a worker needs.
        cluster: what the cluster's file says, if there is one.

    Returns:
        The config, with a GPU a worker where there are GPUs and it leaves that open; the machines.
    """
    if cluster is None:
        return resolve_gpus(config, alive()), alive()
    config = resolve_gpus(config, [*alive(), *(kind.resources for kind in cluster.kinds)])
    return config, with_growth(alive(), cluster, config)


def room(config: Config, cluster: Cluster | None) -> tuple[Config, list[Mapping[str, float]], int]:
    """As `machines`, with how many trials, or trainings, they have room for at a time.

    Raises:
        InputError: for none; the arithmetic is shown.
    """
    config, there = machines(config, cluster)
    try:
        return config, there, slots(config, there)
    except InputError as error:
        joined = in_job() or "RAY_ADDRESS" in os.environ
        hint = "; or name the cluster's file (--cluster), if its autoscaler may add machines"
        raise InputError(f"{error}{hint if joined and cluster is None else ''}") from None


def alive() -> list[Mapping[str, float]]:
    """The resources of each machine that is there."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def dead_machines() -> int:
    """How many machines this Ray has lost."""
    return sum(not node["Alive"] for node in ray.nodes())


def wait_for_machines(cluster: Cluster | None) -> None:
    """Wait, for `JOIN` seconds at most, until the machines have joined that a cluster always has.

    Args:
        cluster: what the cluster's file says, if there is one.
    """
    awaited = min(cluster.most, sum(kind.least for kind in cluster.kinds)) if cluster else 0
    since, said = time.monotonic(), 0
    while (missing := awaited + 1 - len(alive())) > 0 and time.monotonic() - since < JOIN:
        if missing != said:
            print_line(f"waiting    for {missing} machines to join")
        said = missing
        time.sleep(LOOK)


def launched() -> Cluster | None:
    """What the file says that `ray up` left on the head, where this is one."""
    file = Path(BOOTSTRAP).expanduser()
    return read_cluster(str(file)) if file.exists() else None


def check_nodes(folder: Folder, cluster: Cluster | None) -> None:
    """Refuse a folder that a machine of the connected Ray cannot write to, before anything is trained.

    Args:
        folder: to write results to.
        cluster: what the cluster's file says, if there is one.

    Raises:
        InputError: which machine, and why.
    """
    if folder.relative and cluster and cluster.most:
        raise InputError(
            f"--storage: '{folder.shown}' is on this machine, and the cluster may add others; give a folder that all "
            "machines share, by its whole path, or a URI such as s3://bucket/runs"
        )
    here = ray.get_runtime_context().get_node_id()
    others = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    others.pop(here, None)
    if not others:
        return
    folder.write(PROBE, here.encode())
    system, path = folder.opened
    proof = f"{path}/{PROBE}"
    task: Any = ray.remote(num_cpus=0, max_retries=0)(_reach)
    try:
        asked = {
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                system, proof, here, f"{proof}-{node}"
            ): address
            for node, address in others.items()
        }
        answered, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER)
        faults = [f"{asked[one]}: no answer in {ANSWER:g} s" for one in late]
        faults += [f"{asked[one]}: {fault}" for one in answered if (fault := _answer(one))]
    finally:
        with contextlib.suppress(OSError):
            system.delete_file(proof)
    if faults:
        rest = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise InputError(
            f"--storage: '{folder.shown}' cannot be used on {len(faults)} of {len(others) + 1} machines "
            f"({'; '.join(faults[:3])}{rest}); give a folder that all machines share, or a URI such as s3://bucket/runs"
        )


def _reach(system: Any, proof: str, content: str, own: str) -> str:
    """On another machine: read what the driver wrote, and write a file; what fails, in words."""
    try:
        with system.open_input_stream(proof) as stream:
            if stream.read().decode() != content:
                return "another folder of the same name is there"
        with system.open_output_stream(own) as stream:
            stream.write(b"")
        system.delete_file(own)
    except OSError as error:
        return " ".join(str(error).split())[:200]
    return ""


def _answer(call: Any) -> str:
    try:
        fault: str = ray.get(call)
    except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
        return ""  # the machine is gone, and with it what it could not reach
    except ray.exceptions.RayError as error:
        return str(error).strip().splitlines()[-1]
    return fault


@contextlib.contextmanager
def sigterm_as_sigint() -> Iterator[None]:
    """Tune ends cleanly on SIGINT alone; a job is stopped with SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
