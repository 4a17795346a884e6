"""The contract with Ray: a test for each name of `machines/compat.py`, which says what a new version broke."""

import inspect
import os
import re
from pathlib import Path
from types import SimpleNamespace

import ray
from ray._common.constants import HEAD_NODE_RESOURCE_NAME
from ray._private.node import Node
from ray._private.worker import RayContext
from ray.autoscaler._private import commands

from decouple_search.machines import compat


def test_the_heads_resource_is_rays_own():
    assert compat.HEAD_RESOURCE == HEAD_NODE_RESOURCE_NAME, "Ray has renamed the resource that marks the head's machine"


def test_ray_up_leaves_its_configuration_on_the_head():
    source = inspect.getsource(commands)
    assert f'{{"{compat.BOOTSTRAP_FILE}": ' in source, (
        f"`ray up` no longer copies the cluster's configuration to {compat.BOOTSTRAP_FILE} on the head"
    )


def test_machines_are_read_from_the_keys_of_rays_table(monkeypatch):
    table = [
        {"NodeID": "a", "NodeManagerAddress": "10.0.0.1", "Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
        {"NodeID": "b", "NodeManagerAddress": "10.0.0.2", "Alive": False, "Resources": {}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: table)
    assert compat.nodes() == [
        compat.Node("a", "10.0.0.1", True, {"CPU": 4.0, "GPU": 1.0}),
        compat.Node("b", "10.0.0.2", False, {}),
    ]
    compiled = Path(ray._raylet.__file__).read_bytes()  # the function that makes the table, and has no Python source
    for key in table[0]:
        assert f"\0{key}\0".encode() in compiled, f"the machines of ray.nodes() no longer have the key {key}"


def test_a_session_of_this_process_is_recognised_by_the_process_id_at_the_end_of_its_name():
    def context(name):
        return SimpleNamespace(address_info={"session_dir": f"/tmp/ray/{name}"})  # noqa: S108

    date = "session_2026-01-02_03-04-05_678901"
    message = "a session's name does not tell which process started it"
    assert compat.started_by_this_process(context(f"{date}_{os.getpid()}")), message
    assert not compat.started_by_this_process(context(f"{date}_{os.getppid()}")), message
    assert not compat.started_by_this_process(context(f"{date}_1{os.getpid()}")), message
    name = re.search(r'f"session_\{\w+\}_\{os\.getpid\(\)\}"', inspect.getsource(Node.__init__))
    assert name, "a session's name no longer ends with the id of the process that started it"


def test_ray_init_gives_the_folder_of_the_session():
    assert "address_info" in inspect.signature(RayContext).parameters, "the context of ray.init has no address_info"
    source = inspect.getsource(Node.address_info.fget)
    assert '"session_dir": ' in source, "the address_info of ray.init has no session_dir"
