"""A search whose folder is in object storage, an S3 of this process: what it leaves there, and that it resumes."""

import json
import signal

import pytest
from pyarrow.fs import FileSelector

from decouple_search import evaluate, report
from decouple_search.storage import lease
from decouple_search.storage.opening import folder_at, open_folder
from decouple_search.tune import main
from tests.integration.searches import (
    FILES,
    alive_on_ray,
    gang_pids,
    leaderboard,
    read_until,
    start_search,
    wait_for_end,
)

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def uri_of(s3, place):
    """The URI of a place in the storage."""
    base, _, query = s3.partition("?")
    return f"{base}/{place}?{query}"


def files_with(folder, text):
    """The files in a folder of object storage that contain a text."""
    system, path = folder.opened
    files = [info.path for info in system.get_file_info(FileSelector(path, recursive=True)) if info.is_file]
    assert files
    return [file for file in files if text in system.open_input_stream(file).read()]


def kill_search(ray_cluster, file, s3, *flags):
    """Start a search, and kill it in its seventh epoch."""
    process = start_search(ray_cluster, file, s3, *flags)
    assert read_until(process, "  epoch ", 6)
    gangs = gang_pids()
    process.send_signal(signal.SIGKILL)
    process.stdout.read()
    process.wait(timeout=60)
    wait_for_end(gangs)


def test_a_killed_search_is_resumed_and_ends_with_the_same_trials(ray_cluster, space_file, s3, monkeypatch, capsys):
    file = space_file(("trials: 4", "trials: 5"))
    kill_search(ray_cluster, file, s3, "--train.epochs", "6")
    monkeypatch.setattr(lease, "SILENCE_SECONDS", 2 * lease.RENEWAL_SECONDS)
    assert main(["--space", str(file), "--storage", s3, "--name", "x", "--train.epochs", "6"]) == 0
    out = capsys.readouterr().out
    assert "waiting    up to 10 s to see whether another search still writes in s3://bucket/runs/x" in out
    assert "secret" not in out
    folder = open_folder(s3, "x")
    assert {*FILES, "trials"} <= folder.names()
    assert lease.LEASE not in folder.names()
    assert files_with(folder, b"secret") == []
    with folder_at(uri_of(s3, "x")) as experiment:
        experiment.pull("leaderboard.csv")
        rows = leaderboard(experiment.local)
        best = float(rows[0]["val_map"])
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(5)]
    assert {row["state"] for row in rows} <= {"COMPLETE", "PRUNED"}
    assert json.loads(folder.read("summary.json"))["best_val_map"] == best
    assert alive_on_ray() == []

    assert report.main([uri_of(s3, "x")]) == 0
    assert "5 trials" in capsys.readouterr().out
    flags = ["--checkpoint", uri_of(s3, "x/best_checkpoint"), "--experiment", uri_of(s3, "x"), "--json"]
    assert evaluate.main(flags) == 0
    first, *rest = json.loads(capsys.readouterr().out)["checkpoints"]
    assert (first["checkpoint"], first["map"]) == (
        "s3://bucket/runs/x/best_checkpoint",
        pytest.approx(best, abs=1e-6),
    )
    assert all(each["checkpoint"].startswith("s3://bucket/runs/x/trials/") for each in rest)
    assert max(each["map"] for each in rest) == pytest.approx(best, abs=1e-6)


def test_a_killed_population_is_resumed(ray_cluster, space_file, s3, monkeypatch, capsys):
    promotion = "{name: promotion, grace_epochs: 1, reduction_factor: 3}"
    file = space_file((promotion, "{name: pbt, interval_epochs: 1}"), ("trials: 4", "trials: 5"))
    kill_search(ray_cluster, file, s3, "--train.epochs", "16", "--name", "population")
    monkeypatch.setattr(lease, "SILENCE_SECONDS", 2 * lease.RENEWAL_SECONDS)
    flags = ["--space", str(file), "--storage", s3, "--name", "population", "--train.epochs", "16"]
    assert main(flags) == 0
    assert "continued from trial" in capsys.readouterr().out
    with folder_at(uri_of(s3, "population")) as experiment:
        experiment.pull("leaderboard.csv")
        rows = leaderboard(experiment.local)
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(5)]
    assert [(row["state"], row["epochs"]) for row in rows] == [("COMPLETE", "16")] * 5
    assert alive_on_ray() == []
