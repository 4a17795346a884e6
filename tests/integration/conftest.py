"""One Ray for all integration tests, with a home of its own."""

import os

import pytest


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory):
    """A Ray of two CPUs on this machine; its address."""
    before = {name: os.environ.get(name) for name in ("HOME", "RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED")}
    os.environ |= {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    import ray

    context = ray.init(num_cpus=2, include_dashboard=True, log_to_driver=False, logging_level="error")
    yield context.address_info["address"]
    ray.shutdown()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
