"""A peer in a process of its own: Optuna, which this environment has."""

import sys

import pytest

from benchmarks.search_quality.functions import FUNCTIONS, FunctionTable
from benchmarks.search_quality.peers.peer import PEERS
from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.peers.remote import PeerError, RemotePeer, python_for
from benchmarks.search_quality.replay import replay

PEER = "Optuna TPE + SHA(1, 3)"
PROBLEM = Problem(parameters=FUNCTIONS["conditional"].parameters, epochs=27, slots=4, seed=0)


def test_a_peer_searches_as_it_does_in_this_process():
    table = FunctionTable("conditional")
    with RemotePeer(sys.executable, PEER, PROBLEM, 60) as peer:
        history = replay(peer, table, 4, 100)
        process = peer._process
    assert process.poll() is not None
    assert history.steps == replay(PEERS[PEER].make(PROBLEM), table, 4, 100).steps
    assert history.trials > 10


def test_a_peers_error_is_passed_on():
    with pytest.raises(PeerError, match="KeyError: 'nobody'"):
        RemotePeer(sys.executable, "nobody", PROBLEM, 60)
    with RemotePeer(sys.executable, PEER, PROBLEM, 60) as peer, pytest.raises(PeerError, match="KeyError: 5"):
        peer.report(5, 1, 0.5, 1.0)


def test_a_peer_that_takes_too_long_or_ends_is_said():
    with pytest.raises(PeerError, match="took longer than --time-limit"):
        RemotePeer(sys.executable, PEER, PROBLEM, 0.01)
    with RemotePeer(sys.executable, PEER, PROBLEM, 60) as peer:
        peer._process.kill()
        peer._process.wait()
        with pytest.raises(PeerError, match="its process ended"):
            peer.suggest()


def test_the_python_is_the_first_that_has_the_package():
    assert python_for(PEER, ["/bin/false", sys.executable]) == sys.executable
    with pytest.raises(PeerError, match="no Python of --peers-python has syne-tune==0.13"):
        python_for("DyHPO", [sys.executable])
