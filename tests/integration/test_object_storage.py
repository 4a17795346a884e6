"""A search whose folder is in object storage (an S3 of this process): what it leaves there, and that it goes on."""

import json
import signal

import pytest

from decouple_search import evaluate, mirror, report
from decouple_search.storage import Folder, folder_at
from decouple_search.tune import main
from tests.integration.searches import FILES, alive, gang_pids, leaderboard, run_until, start, wait_for_end

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def at(s3, place):
    base, _, query = s3.partition("?")
    return f"{base}/{place}?{query}"


def test_killed_and_begun_again_it_ends_with_the_same_trials(ray_cluster, space_file, s3, monkeypatch, capsys):
    file = space_file(("trials: 4", "trials: 5"))
    process = start(ray_cluster, file, s3, "--train.epochs", "6")
    assert run_until(process, "  epoch ", 6)
    gangs = gang_pids()
    process.send_signal(signal.SIGKILL)
    process.stdout.read()
    process.wait(timeout=60)
    wait_for_end(gangs)
    monkeypatch.setattr(mirror, "SILENCE", 2 * mirror.TURN)
    assert main(["--space", str(file), "--storage", s3, "--name", "x", "--train.epochs", "6"]) == 0
    out = capsys.readouterr().out
    assert "waiting    up to 10 s for the search that wrote in s3://bucket/runs/x" in out
    assert "secret" not in out
    folder = Folder(s3, "x")
    assert {*FILES, "trials"} <= folder.names()
    assert mirror.LEASE not in folder.names()
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
