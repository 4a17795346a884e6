"""A search whose folder is in object storage (an S3 of this process): what it leaves there, and that it goes on."""

import json
import signal

import pytest
from pyarrow.fs import FileSelector

from decouple_search import evaluate, report
from decouple_search.storage import mirror
from decouple_search.storage.folder import Folder, folder_at
from decouple_search.tune import main
from tests.integration.searches import FILES, alive, gang_pids, leaderboard, run_until, start, wait_for_end

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def at(s3, place):
    base, _, query = s3.partition("?")
    return f"{base}/{place}?{query}"


def with_text(folder, text):
    """The files of a folder in object storage that have a text in them."""
    system, path = folder.opened
    files = [info.path for info in system.get_file_info(FileSelector(path, recursive=True)) if info.is_file]
    assert files
    return [file for file in files if text in system.open_input_stream(file).read()]


def cut_off(ray_cluster, file, s3, *flags):
    """A search that is killed in its seventh epoch."""
    process = start(ray_cluster, file, s3, *flags)
    assert run_until(process, "  epoch ", 6)
    gangs = gang_pids()
    process.send_signal(signal.SIGKILL)
    process.stdout.read()
    process.wait(timeout=60)
    wait_for_end(gangs)


def test_killed_and_begun_again_it_ends_with_the_same_trials(ray_cluster, space_file, s3, monkeypatch, capsys):
    file = space_file(("trials: 4", "trials: 5"))
    cut_off(ray_cluster, file, s3, "--train.epochs", "6")
    monkeypatch.setattr(mirror, "SILENCE", 2 * mirror.TURN)
    assert main(["--space", str(file), "--storage", s3, "--name", "x", "--train.epochs", "6"]) == 0
    out = capsys.readouterr().out
    assert "waiting    up to 10 s for the search that wrote in s3://bucket/runs/x" in out
    assert "secret" not in out
    folder = Folder(s3, "x")
    assert {*FILES, "trials"} <= folder.names()
    assert mirror.LEASE not in folder.names()
    assert with_text(folder, b"secret") == []
    with folder_at(at(s3, "x")) as there:
        there.pull("leaderboard.csv")
        rows = leaderboard(there.local)
        best = float(rows[0]["val_map"])
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(5)]
    assert {row["state"] for row in rows} <= {"COMPLETE", "PRUNED"}
    assert json.loads(folder.read("summary.json"))["best_val_map"] == best
    assert alive() == []

    assert report.main([at(s3, "x")]) == 0
    assert "5 trials" in capsys.readouterr().out
    flags = ["--checkpoint", at(s3, "x/best_checkpoint"), "--experiment", at(s3, "x"), "--json"]
    assert evaluate.main(flags) == 0
    first, *rest = json.loads(capsys.readouterr().out)["checkpoints"]
    assert (first["checkpoint"], first["map"]) == (
        "s3://bucket/runs/x/best_checkpoint",
        pytest.approx(best, abs=1e-6),
    )
    assert all(one["checkpoint"].startswith("s3://bucket/runs/x/trials/") for one in rest)
    assert max(one["map"] for one in rest) == pytest.approx(best, abs=1e-6)


def test_a_population_that_was_killed_goes_on_as_one(ray_cluster, space_file, s3, monkeypatch, capsys):
    asha = "{name: asha, grace_epochs: 1, reduction_factor: 3}"
    file = space_file((asha, "{name: pbt, interval_epochs: 1}"), ("trials: 4", "trials: 5"))
    cut_off(ray_cluster, file, s3, "--train.epochs", "16", "--name", "population")
    monkeypatch.setattr(mirror, "SILENCE", 2 * mirror.TURN)
    flags = ["--space", str(file), "--storage", s3, "--name", "population", "--train.epochs", "16"]
    assert main(flags) == 0
    assert "went on from trial" in capsys.readouterr().out
    with folder_at(at(s3, "population")) as there:
        there.pull("leaderboard.csv")
        rows = leaderboard(there.local)
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(5)]
    assert [(row["state"], row["epochs"]) for row in rows] == [("COMPLETE", "16")] * 5
    assert alive() == []
