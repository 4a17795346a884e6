"""One Ray for all integration tests, with its own home folder. A test may add machines to it."""

import pytest


@pytest.fixture(scope="session")
def site_folder(tmp_path_factory):
    """A folder in which all of Ray's processes find packages."""
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="session")
def machines(tmp_path_factory, site_folder):
    """A Ray of two CPUs on this machine, as a `ray.cluster_utils.Cluster`, and this process connected to it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(site_folder))
        environment.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        environment.setenv("RAY_AUTH_MODE", "disabled")
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": True})
        ray.init(cluster.address, log_to_driver=False, logging_level="error")
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="session")
def ray_cluster(machines):
    """The address of that Ray."""
    return machines.address


@pytest.fixture
def run_script(tmp_path, ray_cluster, monkeypatch):
    """Run a script's text in a folder of its own, as if it were the main program of a process."""
    monkeypatch.chdir(tmp_path)

    def run(text):
        file = tmp_path / "script.py"
        file.write_text(text)
        exec(compile(text, str(file), "exec"), {"__name__": "__main__"})  # noqa: S102

    return run
