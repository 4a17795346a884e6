"""The Ray that a search runs on: joining it, the machines that it has or may get, and how it is told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray

from decouple_search.plan import resolve_gpus, with_growth
from decouplenet.config import Config, load_yaml
from decouplenet.errors import InputError

BOOTSTRAP = "~/ray_bootstrap_config.yaml"
"""Where `ray up` leaves the cluster's configuration on its head, which is where a job's driver runs."""


def connect() -> bool:
    """Join the cluster that a Ray job or RAY_ADDRESS names, or start a Ray on this machine.

    Returns:
        False when this process was connected already, and stays so.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)  # what Tune notices is in our own output
    # So is a trial's error; where it was raised is in trials/<id>/error.txt.
    logging.getLogger("ray.tune.execution.tune_controller").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ and "RAY_ADDRESS" not in os.environ:
        options["include_dashboard"] = False
    try:
        ray.init(**options)
    except ConnectionError as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"RAY_ADDRESS: no Ray answers at '{os.environ.get('RAY_ADDRESS')}' ({reason})") from None
    return True


def machines(config: Config) -> tuple[Config, list[Mapping[str, float]]]:
    """`CPU` and `GPU` of each machine of the connected Ray, with those that its autoscaler may still add.

    Returns:
        The config, with a GPU a worker where there are GPUs and it leaves that open; the machines.
    """
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    file = Path(BOOTSTRAP).expanduser()
    cluster = load_yaml(file) if file.exists() else {}
    kinds = [kind.get("resources", {}) for kind in cluster.get("available_node_types", {}).values()]
    config = resolve_gpus(config, [*alive, *kinds])
    return config, with_growth(alive, cluster, config) if cluster else alive


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
