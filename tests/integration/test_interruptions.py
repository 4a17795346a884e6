"""Searches on a real Ray that lose their workers or their driver, or that are stopped."""

import os
import re
import signal
from pathlib import Path

import pytest

from decouple_search.stopping.scheduler import Scheduler
from decouple_search.tune import main
from decouplenet.checkpoint import read_checkpoint
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError
from tests.integration.searches import (
    FILES,
    alive_on_ray,
    gang_pids,
    leaderboard,
    read_study,
    read_until,
    start_search,
    trained_in_one_go,
    wait_for_end,
)

pytestmark = pytest.mark.ray


# SIGTERM acts as SIGINT, so the fast test covers both.
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_an_interrupted_search_writes_its_results_so_far(ray_cluster, space_file, tmp_path, number):
    process = start_search(ray_cluster, space_file(("trials: 4", "trials: 500")), tmp_path, "--train.epochs", "50")
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130, out
    assert "interrupted; the results so far are above, and the same command resumes the search" in out
    assert all((tmp_path / "x" / name).exists() for name in FILES)
    rows = leaderboard(tmp_path / "x")
    assert 1 <= len(rows) < 500
    assert {row["state"] for row in rows} <= {"PRUNED", "FAIL", "COMPLETE"}
    assert alive_on_ray() == []


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_workers_cost_no_trial(ray_cluster, space_file, tmp_path, kills):
    """Each trial has two workers. One of them is killed in an early epoch of many."""
    flags = ("--trials", str(kills), "--train.epochs", "20", "--scheduler", "none", "--workers-per-trial", "2")
    process = start_search(ray_cluster, space_file(), tmp_path, *flags)
    lines, killed_in = ["trial 0000  epoch 1/20"], set()
    for line in process.stdout:
        lines.append(line)
        trial, _, rest = line.partition("trial ")[2].partition("  ")
        if "epoch 2/20" in rest and trial not in killed_in:
            killed_in.add(trial)
            os.kill(gang_pids()[-1], signal.SIGKILL)
    assert process.wait(timeout=60) == 0, "".join(lines)
    rows = leaderboard(tmp_path / "x")
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(kills)]
    assert [(row["state"], row["epochs"]) for row in rows] == [("COMPLETE", "20")] * kills
    assert sum("restarts from its last checkpoint, on a new gang: The actor died" in line for line in lines) == kills
    assert sum("epoch 1/20" in line for line in lines) == kills  # none was trained from the beginning twice
    study = read_study(tmp_path / "x")
    assert [list(trial.intermediate_values) for trial in study.trials] == [list(range(1, 21))] * kills
    checkpoint = read_checkpoint(tmp_path / "x" / "best_checkpoint")
    assert checkpoint.metrics["val_map"] == pytest.approx(float(rows[0]["val_map"]), abs=1e-6)
    assert alive_on_ray() == []


@pytest.mark.parametrize(
    ("trials", "interruptions"),
    [
        (4, ((signal.SIGKILL, 2),)),
        pytest.param(24, ((signal.SIGKILL, 7), (signal.SIGTERM, 7)) * 2, marks=pytest.mark.slow),
    ],
)
def test_a_killed_search_is_resumed_and_ends_with_the_same_trials(
    ray_cluster, space_file, tmp_path, trials, interruptions
):
    """Drivers are killed and stopped. Each trial is there once, and trains each epoch that counts once."""
    file = space_file(("trials: 4", f"trials: {trials}"))
    for number, epochs in interruptions:
        process = start_search(ray_cluster, file, tmp_path, "--keep-checkpoints", "30")
        assert read_until(process, "  epoch ", epochs)
        gangs = gang_pids()
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(timeout=120) == (130 if number == signal.SIGTERM else -number)
        wait_for_end(gangs)
    process = start_search(ray_cluster, file, tmp_path, "--keep-checkpoints", "30", "--resume", "must")
    out = process.stdout.read()
    assert process.wait(timeout=60) == 0, out
    rows = leaderboard(tmp_path / "x")
    assert sorted(row["trial_id"] for row in rows) == [f"{i:04d}" for i in range(trials)]
    assert {row["state"] for row in rows} == {"COMPLETE", "PRUNED"}
    assert sum(int(row["epochs"]) for row in rows) <= Scheduler("promotion").epochs_in_all(trials, 3)[1]
    counts = [int(count) for count in re.findall(rf"\[(\d+)/{trials}\]", out)]
    assert counts == sorted(set(counts)), "a trial that was paused and went on was counted twice"
    assert counts[-1] <= trials
    study = read_study(tmp_path / "x")
    assert len(study.trials) == trials
    for row in rows:
        trial = study.trials[int(row["trial_id"])]
        assert list(trial.intermediate_values) == list(range(1, int(row["epochs"]) + 1))
        assert (row["state"] == "COMPLETE") == (int(row["epochs"]) == 3)
    best = read_checkpoint(tmp_path / "x" / "best_checkpoint")
    assert best.metrics["val_map"] == pytest.approx(float(rows[0]["val_map"]), abs=1e-9)
    # Only the seed and the trial decide a training, so one without interruption has the same values.
    values = list(trained_in_one_go(best.config).values())
    assert max(values[: int(rows[0]["epochs"])]) == pytest.approx(float(rows[0]["val_map"]), abs=1e-6)
    assert main(["--space", str(file), "--storage", str(tmp_path), "--name", "x"]) == 0  # nothing is left to train
    assert leaderboard(tmp_path / "x") == rows
    with pytest.raises(InputError, match=r"was made by another search \(train.epochs: 3 there, 4 here\)"):
        main(["--space", str(file), "--storage", str(tmp_path), "--name", "x", "--train.epochs", "4"])
    assert alive_on_ray() == []


@pytest.mark.slow
def test_a_killed_population_is_resumed(ray_cluster, space_file, tmp_path):
    promotion = "{name: promotion, grace_epochs: 1, reduction_factor: 3}"
    file = space_file((promotion, "{name: pbt, interval_epochs: 1}"), ("trials: 4", "trials: 5"))
    flags = ("--train.epochs", "16", "--keep-checkpoints", "5")
    for epochs in (8, 6):
        process = start_search(ray_cluster, file, tmp_path, *flags)
        assert read_until(process, "  epoch ", epochs)
        gangs = gang_pids()
        process.kill()
        process.stdout.read()
        process.wait(timeout=60)
        wait_for_end(gangs)
    process = start_search(ray_cluster, file, tmp_path, *flags)
    out = process.stdout.read()
    assert process.wait(timeout=120) == 0, out
    assert "continued from trial" in out
    rows = leaderboard(tmp_path / "x")
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(5)]
    assert [(row["state"], row["epochs"]) for row in rows] == [("COMPLETE", "16")] * 5
    best = read_checkpoint(tmp_path / "x" / "best_checkpoint")
    assert best.metrics["val_map"] == pytest.approx(float(rows[0]["val_map"]), abs=1e-9)
    assert flatten(best.config.to_dict())["optim.lr"] == float(rows[0]["optim.lr"])
    assert alive_on_ray() == []


@pytest.mark.slow
def test_forty_trials_use_the_same_workers_without_using_more_memory(ray_cluster, space_file, tmp_path):
    process = start_search(ray_cluster, space_file(), tmp_path, "--trials", "40", "--workers-per-trial", "2")
    gang, memory, lines = gang_pids(), {}, []
    for line in process.stdout:
        lines.append(line)
        if (ended := line.rpartition("[")[2]).endswith("/40]\n"):
            assert gang_pids() in (gang, [])  # the same processes from the first trial to the last
            memory[int(ended.partition("/")[0])] = [anonymous_memory(pid) for pid in gang]
    assert process.wait(timeout=60) == 0, "".join(lines)
    rows = leaderboard(tmp_path / "x")
    assert len(rows) == 40
    assert {row["state"] for row in rows} == {"COMPLETE", "PRUNED"}
    last = max(number for number, sizes in memory.items() if all(sizes))
    assert last >= 39
    for early, late in zip(memory[5], memory[last], strict=True):
        assert late < 1.1 * early
    assert alive_on_ray() == []


def anonymous_memory(pid):
    """Kilobytes of memory that only this process uses; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)
