"""The Ray that a command runs on, as far as none need run for it."""

import os
import shutil
from types import SimpleNamespace

import pytest

from decouple_search.machines import connection as cluster
from decouple_search.machines.connection import check_nodes, connect, room
from decouple_search.machines.manifest import Cluster, Kind
from decouple_search.storage.folder import Folder
from decouplenet.config import Config
from decouplenet.errors import InputError
from tests.cluster.files import FOLDER

SPOT = Kind("spot", {"CPU": 4.0, "GPU": 1.0}, 0, 8, 0)
GROWING = Cluster(Kind("head", {"CPU": 0.0}, 1, 1, 0), (SPOT,), 8)


@pytest.fixture
def session(monkeypatch):
    """Has Ray answer with a session of this name, begun or joined."""

    def session(name):
        answer = SimpleNamespace(address_info={"session_dir": f"ray/{name}"})
        monkeypatch.setattr(cluster.ray, "init", lambda **_: answer)
        monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)

    return session


def test_a_head_has_the_machines_of_its_file_and_a_ray_begun_here_none(session, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(FOLDER / "aws.yaml", tmp_path / "ray_bootstrap_config.yaml")
    joined, begun = "session_2026-01-02_03-04-05_678901_1", f"session_2026-01-02_03-04-05_678901_{os.getpid()}"
    session(joined)
    ours, growth = connect()
    assert (ours, [kind.name for kind in growth().kinds]) == (True, ["gpu_spot", "gpu_on_demand"])
    named = connect(str(FOLDER / "local.yaml")).growth()
    assert [kind.name for kind in named.kinds] == ["worker"]  # what is named wins
    session(begun)  # by this process, on a machine that was a cluster's head once
    ours, growth = connect()
    assert (ours, growth()) == (True, None)
    (tmp_path / "ray_bootstrap_config.yaml").unlink()
    session(joined)
    assert connect().growth() is None


def test_a_folder_of_the_head_alone_is_refused_where_others_would_train():
    with pytest.raises(InputError, match=r"--storage: '.*/results/x' is on this machine, and the cluster may add"):
        check_nodes(Folder("results", "x"), GROWING)


def test_what_has_no_room_yet_is_told_of_the_clusters_file(monkeypatch):
    head = {"CPU": 0.0, "node:__internal_head__": 1.0}
    monkeypatch.setattr(cluster, "alive", lambda: [head])
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(InputError, match=r"room for 0 is there .*; or name the cluster's file \(--cluster\)"):
        room(Config(), None)
    config, machines, trials = room(Config(), GROWING)
    assert (config.scaling.gpus_per_worker, len(machines), trials) == (1.0, 9, 8)
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(InputError) as raised:
        room(Config(), None)
    assert "--cluster" not in str(raised.value)
