"""One Ray for all integration tests, with a home of its own, to which a test may add machines."""

import os

import pytest


@pytest.fixture(scope="session")
def machines(tmp_path_factory):
    """A Ray of two CPUs on this machine, as a `ray.cluster_utils.Cluster`, and this process connected to it."""
    before = {name: os.environ.get(name) for name in ("HOME", "RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED")}
    os.environ |= {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": True})
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def ray_cluster(machines):
    """The address of that Ray."""
    return machines.address
