"""A search on the Ray that it started itself, when that Ray dies: a line, exit code 1, and the same command resumes."""

import csv
import os
import subprocess
import sys
import tempfile

import psutil
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def ray_folder():
    """A folder for Ray's sessions, with a short path for its sockets. A Ray of another test is not found from there."""
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        yield folder


@pytest.fixture
def search(tmp_path, space_file, ray_folder):
    """A function that starts a search of four trials in a process of its own, with a home of its own."""
    (tmp_path / "home").mkdir()
    names = ("RAY_ADDRESS", "RAY_AUTH_MODE")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    flags = ["--space", str(space_file()), "--storage", str(tmp_path), "--name", "x", "--trials", "4"]

    def start():
        return subprocess.Popen(
            [sys.executable, "-m", "decouple_search.tune", *flags, "--train.epochs", "9"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, "HOME": str(tmp_path / "home"), "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": ray_folder},
        )

    return start, tmp_path / "x"


def victim(process, name):
    """The raylet of a search's Ray, or the agent of it with this name."""
    raylet = next(child for child in psutil.Process(process.pid).children() if child.name() == "raylet")
    agents = [child for child in raylet.children() if name in " ".join(child.cmdline())]
    return raylet if name == "raylet" else agents[0]


@pytest.mark.parametrize("name", ["raylet", "RuntimeEnvAgent"])
def test_the_search_says_that_ray_died_and_the_same_command_resumes_it(search, name):
    start, experiment = search
    process = start()
    for line in process.stdout:
        if "  epoch 2/9" in line:
            break
    workers = psutil.Process(process.pid).children(recursive=True)
    victim(process, name).kill()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    [message] = [line for line in errors.splitlines() if line.startswith("failed: ")]
    assert "Ray died" in message
    assert message.endswith("; the same command resumes the search")
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    resumed = start()
    out, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0
    assert f"results    {experiment} (resumed)" in out
    with (experiment / "leaderboard.csv").open() as file:
        assert sorted(row["trial_id"] for row in csv.DictReader(file)) == ["0000", "0001", "0002", "0003"]
