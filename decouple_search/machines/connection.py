"""The connection to a Ray: joining it, the machines that it has or may get, and how a command is told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import ray

from decouple_search.machines.capacity import Capacity, Resources, resolve_gpus
from decouple_search.machines.compat import BOOTSTRAP_FILE, HEAD_RESOURCE, nodes, started_by_this_process
from decouple_search.machines.manifest import ClusterLimits, read_cluster
from decouple_search.machines.ray_watch import vital_processes
from decouple_search.storage.compat import in_job
from decouplenet.command_line import print_line
from decouplenet.config import Config
from decouplenet.errors import InputError

JOIN_SECONDS = 300.0
"""Seconds in which machines that are always there have to join."""
LOOK_SECONDS = 5.0
"""Seconds between two looks at the machines."""

CurrentLimits = Callable[[], ClusterLimits | None]
"""Gives what the cluster file says now; None where no machines are added."""


class Connection(NamedTuple):
    """The Ray that this process is connected to."""

    owned: bool
    """Whether this process made the connection, and so has to end it."""
    limits: CurrentLimits
    """Gives the machines that may be added."""
    processes: Sequence[psutil.Process] = ()
    """The vital processes of a Ray that this process started."""

    def close(self) -> None:
        """End the connection if this process made it."""
        if self.owned:
            ray.shutdown()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Available(NamedTuple):
    """The machines for a config."""

    config: Config
    """The config, with its GPUs per worker resolved."""
    machines: list[Resources]
    """The machines that are there, and those that the autoscaler may add."""
    trials: int
    """Trials that fit at the same time, at least 1."""


def connect(file: str | None = None) -> Connection:
    """Join the Ray of this job, of RAY_ADDRESS, or of `ray start` on this machine; else start a Ray.

    Args:
        file: the cluster file. By default the file that `ray up` left on its head, if this is the head.

    Raises:
        InputError: no Ray answers, or the file is not a cluster file.
    """
    named = read_cluster(file) if file else None
    joined: CurrentLimits = (lambda: named) if file else limits_of_head
    logging.getLogger("ray").setLevel(logging.ERROR)  # our own output says what Tune notices
    # Our output has a trial's error too; trials/<id>/error.txt has the traceback.
    logging.getLogger("ray.tune.execution.tune_controller").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        return Connection(False, joined)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if not in_job() and "RAY_ADDRESS" not in os.environ:
        options["include_dashboard"] = False
        print_line("starting   Ray on this machine, or joining the one that `ray start` made")
    try:
        context: Any = ray.init(**options)
    except ConnectionError as error:
        reason = str(error).partition("\n")[0]
        if "RAY_ADDRESS" not in os.environ:
            raise InputError(f"Ray: the Ray that was started here is gone ({reason}); run `ray stop` first") from None
        raise InputError(f"RAY_ADDRESS: no Ray answers at '{os.environ['RAY_ADDRESS']}' ({reason})") from None
    if started_by_this_process(context):  # it gets no machines, whatever file an earlier cluster left here
        return Connection(True, lambda: None, vital_processes())
    return Connection(True, joined)


def current_machines(config: Config, limits: ClusterLimits | None) -> tuple[Config, list[Resources]]:
    """The machines of the connected Ray, with those that its autoscaler may still add.

    Args:
        config: its scaling section has the needs of a trial.
        limits: the machines that the cluster file allows; None without a file.

    Returns:
        The config, with one GPU per worker if it leaves that open and there are GPUs; the machines.
    """
    if limits is None or not limits.autoscales:
        return resolve_gpus(config, alive()), alive()
    config = resolve_gpus(config, [*alive(), *(machine_type.resources for machine_type in limits.machine_types)])
    return config, Capacity(config.scaling).grown(alive(), limits, head=HEAD_RESOURCE)


def available(config: Config, limits: ClusterLimits | None) -> Available:
    """As `current_machines`, with the number of trials that fit at the same time.

    Raises:
        InputError: no trial fits; the message shows the arithmetic.
    """
    config, machines = current_machines(config, limits)
    try:
        return Available(config, machines, Capacity(config.scaling).require(machines))
    except InputError as error:
        joined = in_job() or "RAY_ADDRESS" in os.environ
        hint = "; or name the cluster's file (--cluster), if its autoscaler may add machines"
        raise InputError(f"{error}{hint if joined and limits is None else ''}") from None


def alive() -> list[Resources]:
    """The resources of each machine that is there."""
    return [node.resources for node in nodes() if node.alive]


def dead_machines() -> int:
    """How many machines this Ray has lost."""
    return sum(not node.alive for node in nodes())


def wait_for_machines(limits: ClusterLimits | None) -> None:
    """Wait, for at most `JOIN_SECONDS`, until the machines have joined that a cluster always has.

    Args:
        limits: the machines that the cluster file allows; None without a file.
    """
    expected = min(limits.max_workers, sum(each.minimum for each in limits.machine_types)) if limits else 0
    since, printed = time.monotonic(), 0
    while (missing := expected + 1 - len(alive())) > 0 and time.monotonic() - since < JOIN_SECONDS:
        if missing != printed:
            print_line(f"waiting    for {missing} machines to join")
        printed = missing
        time.sleep(LOOK_SECONDS)


def limits_of_head() -> ClusterLimits | None:
    """The limits in the file that `ray up` leaves on the head; None on any other machine."""
    file = Path(BOOTSTRAP_FILE).expanduser()
    return read_cluster(str(file)) if file.exists() else None


@contextlib.contextmanager
def sigterm_as_sigint() -> Iterator[None]:
    """While the context lasts, SIGTERM acts as SIGINT: Tune ends cleanly only on SIGINT, and jobs get SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    """Interrupt this process as Ctrl-C does, also if a shell started it in the background, where SIGINT is ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        raise KeyboardInterrupt
    os.kill(os.getpid(), signal.SIGINT)
