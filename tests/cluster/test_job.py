"""`ray job submit` of a search, on `ray start --head` with token authentication: stopped, and gone on with."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A Ray of two CPUs in a home of its own, whose token everyone needs; the environment to submit jobs with."""
    home, port, dashboard = tmp_path_factory.mktemp("home"), free_port(), free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {
        "PATH": f"{RAY.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    token = subprocess.run(
        [RAY, "get-auth-token", "--generate"], env=env, capture_output=True, text=True, check=True
    ).stdout
    flags = [f"--port={port}", f"--dashboard-port={dashboard}", "--num-cpus=2", f"--temp-dir={home}/t"]
    flags += ["--dashboard-host=127.0.0.1", "--include-dashboard=true", "--disable-usage-stats", "--block"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen([RAY, "start", "--head", *flags], env=env, stdout=log, stderr=subprocess.STDOUT)
    with (home / "log").open() as log:
        while "--block" not in (line := log.readline()) and process.poll() is None:
            if not line:
                os.sched_yield()
    assert process.poll() is None, (home / "log").read_text()
    yield env | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}, token.strip()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)


def job(env, *arguments):
    """A Ray job command, begun; its output has the job's."""
    return subprocess.Popen(
        [RAY, "job", *arguments],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.ray
@pytest.mark.slow
def test_a_search_as_a_job_that_is_stopped_and_submitted_again(head, tmp_path):
    env, token = head
    search = ["python", "-m", "decouple_search.tune", "--trials", "8", "--storage", "runs", "--name", "x"]
    search += ["--data.cache", str(tmp_path / "cache")]

    stranger = job({**env, "HOME": str(tmp_path)}, "list")
    assert token not in (refused := stranger.communicate(timeout=120)[0])
    assert stranger.returncode != 0, refused

    first = job(env, "submit", "--working-dir", ".", "--submission-id", "one", "--", *search)
    seen = []
    for line in first.stdout:
        seen.append(line)
        if "  epoch 5/" in line:
            break
    assert job(env, "stop", "one").wait(timeout=120) == 0
    seen.append(first.stdout.read())
    out = "".join(seen)
    assert first.wait(timeout=120) == 0, out  # which is Ray's word on a job that was stopped
    assert "interrupted; what there was by then is above, and the same command goes on" in out
    experiment = Path(env["HOME"]) / "runs" / "x"
    assert f"results    {experiment}" in out

    again = job(env, "submit", "--working-dir", ".", "--submission-id", "two", "--", *search)
    out, _ = again.communicate(timeout=600)
    assert again.returncode == 0, out
    assert "which goes on" in out
    with (experiment / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(8)]
    assert {row["state"] for row in rows} <= {"COMPLETE", "PRUNED"}
    assert json.loads((experiment / "summary.json").read_text())["best_val_map"] == float(rows[0]["val_map"])
