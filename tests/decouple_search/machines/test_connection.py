"""The connection to a Ray, as far as it needs none: whose Ray it is, and which machines may be added."""

import os
import shutil
import signal
from types import SimpleNamespace

import pytest

from decouple_search.machines import connection as connection_module
from decouple_search.machines.compat import HEAD_RESOURCE
from decouple_search.machines.connection import available, connect, current_machines, sigterm_as_sigint
from decouple_search.machines.manifest import ClusterLimits, MachineType
from decouplenet.config import Config
from decouplenet.errors import InputError
from tests.cluster.files import FOLDER

SPOT = MachineType("spot", {"CPU": 4.0, "GPU": 1.0}, 0, 8, 0)
GROWING = ClusterLimits(MachineType("head", {"CPU": 0.0}, 1, 1, 0), (SPOT,), 8)


@pytest.fixture
def answer_with_session(monkeypatch):
    """Make `ray.init` answer with a session of this name, which was started or joined."""

    def set_session(name):
        context = SimpleNamespace(address_info={"session_dir": f"ray/{name}"})
        monkeypatch.setattr(connection_module.ray, "init", lambda **_: context)
        monkeypatch.setattr(connection_module.ray, "is_initialized", lambda: False)

    return set_session


def test_a_head_has_the_machines_of_its_file_and_a_ray_of_this_process_has_none(
    answer_with_session, monkeypatch, tmp_path
):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(FOLDER / "aws.yaml", tmp_path / "ray_bootstrap_config.yaml")
    joined, started = "session_2026-01-02_03-04-05_678901_1", f"session_2026-01-02_03-04-05_678901_{os.getpid()}"
    answer_with_session(joined)
    connection = connect()
    assert connection.owned
    assert [kind.name for kind in connection.limits().machine_types] == ["gpu_spot", "gpu_on_demand"]
    assert connection.processes == ()
    named = connect(str(FOLDER / "local.yaml")).limits()
    assert [kind.name for kind in named.machine_types] == ["worker"]  # the named file wins
    answer_with_session(started)  # on a machine that was a cluster's head once
    connection = connect()
    assert (connection.owned, connection.limits()) == (True, None)
    (tmp_path / "ray_bootstrap_config.yaml").unlink()
    answer_with_session(joined)
    assert connect().limits() is None


def test_a_connection_that_was_there_before_is_not_owned_and_not_closed(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(connection_module.ray, "is_initialized", lambda: True)
    closed = []
    monkeypatch.setattr(connection_module.ray, "shutdown", lambda: closed.append(True))
    connection = connect()
    assert not connection.owned
    connection.close()
    assert closed == []
    connection._replace(owned=True).close()
    assert closed == [True]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10.0.0.1:6379", r"RAY_ADDRESS: no Ray answers at '10.0.0.1:6379' \(gone\)"),
        (None, r"Ray: the Ray that was started here is gone \(gone\); run `ray stop` first"),
    ],
)
def test_a_ray_that_does_not_answer_is_an_error_in_one_line(monkeypatch, address, message):
    def fail(**_):
        raise ConnectionError("gone\nand more")

    monkeypatch.setattr(connection_module.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(connection_module.ray, "init", fail)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match=message) as raised:
        connect()
    assert "\n" not in str(raised.value)


def test_where_nothing_fits_yet_the_error_names_the_clusters_file(monkeypatch):
    head = {"CPU": 0.0, HEAD_RESOURCE: 1.0}
    monkeypatch.setattr(connection_module, "alive", lambda: [head])
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(InputError, match=r"room for 0 is there .*; or name the cluster's file \(--cluster\)"):
        available(Config(), None)
    config, machines, trials = available(Config(), GROWING)
    assert (config.scaling.gpus_per_worker, len(machines), trials) == (1.0, 9, 8)
    assert current_machines(Config(), GROWING) == (config, machines)
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(InputError) as raised:
        available(Config(), None)
    assert "--cluster" not in str(raised.value)


def test_machines_that_are_always_there_are_those_that_ray_knows(monkeypatch):
    alive = [{"CPU": 0.0, HEAD_RESOURCE: 1.0}, {"CPU": 4.0}]
    monkeypatch.setattr(connection_module, "alive", lambda: alive)
    permanent = GROWING._replace(autoscales=False)  # the file says that there are GPUs, and it is wrong
    config, machines, trials = available(Config(), permanent)
    assert (config.scaling.gpus_per_worker, machines, trials) == (0.0, alive, 4)


def test_sigterm_interrupts_while_the_context_lasts():
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_as_sigint(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
