"""`ray job submit` of a search: what it uploads, and a job that is stopped and resumed on a Ray with a token."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cluster.files import ROOT

RAY = Path(sys.executable).with_name("ray")


def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A Ray of two CPUs with its own home folder, which refuses those without its token.

    Yields:
        The environment to submit jobs with, and the token.
    """
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


def start_job_command(env, *arguments):
    """Start a `ray job` command. Its output includes the job's."""
    return subprocess.Popen(
        [RAY, "job", *arguments],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("git", [True, False], ids=["git", "no-git"])  # RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1
def test_only_code_is_uploaded_and_no_secret(tmp_path, git):
    from ray._private.runtime_env.packaging import create_package

    code = {"cluster/aws.yaml", "decouple_search/tune.py", "search_spaces/demo.yaml", "requirements.lock"}
    code.add("decouple_search/results/tables.py")  # only the folder results/ at the top holds what searches wrote
    excluded = {".env", ".env.local", ".envrc", "cluster/.env", "search.pem", ".git/config", ".venv/bin/python"}
    excluded |= {"results/first/leaderboard.csv", "tests/test_rooms.py", "decouple_search/__pycache__/tune.pyc"}
    for name in code | excluded:
        (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkout" / name).write_text("secret")
    for name in (".gitignore", ".rayignore"):
        shutil.copy(ROOT / name, tmp_path / "checkout")
    create_package(str(tmp_path / "checkout"), tmp_path / "package.zip", include_gitignore=git)
    with zipfile.ZipFile(tmp_path / "package.zip") as package:
        assert {name for name in package.namelist() if not name.endswith("/")} == code | {".gitignore", ".rayignore"}


@pytest.mark.ray
@pytest.mark.slow
def test_a_search_as_a_job_that_is_stopped_and_submitted_again(head, tmp_path):
    env, token = head
    search = ["python", "-m", "decouple_search.tune", "--trials", "8", "--storage", "runs", "--name", "x"]
    search += ["--data.cache", str(tmp_path / "cache")]

    without_token = start_job_command({**env, "HOME": str(tmp_path)}, "list")
    assert token not in (refusal := without_token.communicate(timeout=120)[0])
    assert without_token.returncode != 0, refusal

    first = start_job_command(env, "submit", "--working-dir", ".", "--submission-id", "first", "--", *search)
    lines = []
    for line in first.stdout:
        lines.append(line)
        if "  epoch 5/" in line:
            break
    assert start_job_command(env, "stop", "first").wait(timeout=120) == 0
    lines.append(first.stdout.read())
    out = "".join(lines)
    assert first.wait(timeout=120) == 0, out  # Ray's exit code for a job that was stopped
    assert "interrupted; the results so far are above, and the same command resumes the search" in out
    experiment = Path(env["HOME"]) / "runs" / "x"
    assert f"results    {experiment}" in out

    second = start_job_command(env, "submit", "--working-dir", ".", "--submission-id", "second", "--", *search)
    out, _ = second.communicate(timeout=600)
    assert second.returncode == 0, out
    assert f"results    {experiment} (resumed)" in out
    with (experiment / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(8)]
    assert {row["state"] for row in rows} <= {"COMPLETE", "PRUNED"}
    assert json.loads((experiment / "summary.json").read_text())["best_val_map"] == float(rows[0]["val_map"])
