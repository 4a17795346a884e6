"""Whole searches on a real Ray: their files, their determinism, and what happens when things go wrong."""

import csv
import json
import os
import signal
import subprocess
import sys

import optuna
import pytest

from decouple_search.results import STATES
from decouple_search.searcher import STUDY_NAME
from decouple_search.tune import main
from decouplenet.checkpoint import read_checkpoint
from decouplenet.command_line import parse_config
from decouplenet.config import flatten, load_yaml
from decouplenet.data.cache import open_data
from decouplenet.engine import Engine
from decouplenet.errors import InputError

pytestmark = pytest.mark.ray
ONE_AT_A_TIME = ("--trials", "6", "--max-concurrent", "1", "--seed", "5")
FILES = ("best_config.yaml", "best_checkpoint", "leaderboard.csv", "study.log", "summary.json", "tensorboard")


def leaderboard(experiment):
    with (experiment / "leaderboard.csv").open() as file:
        return list(csv.DictReader(file))


def alive():
    """Actors of ours that live."""
    from ray.util.state import list_actors

    return [actor.class_name for actor in list_actors(filters=[("state", "=", "ALIVE")])]


@pytest.fixture(scope="module")
def experiment(ray_cluster, tmp_path_factory, small_space):
    """A search of six trials, as the first of the tests below see it."""
    folder = tmp_path_factory.mktemp("results")
    space = folder / "small.yaml"
    space.write_text(small_space)
    assert main(["--space", str(space), "--storage", str(folder), "--name", "first", *ONE_AT_A_TIME]) == 0
    return folder / "first"


def test_every_file_is_there(experiment):
    assert all((experiment / name).exists() for name in FILES)


def test_leaderboard_and_summary_agree_with_the_study(experiment):
    rows = leaderboard(experiment)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(experiment / "study.log")))
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    assert sorted(row["trial_id"] for row in rows) == [f"{i:04d}" for i in range(6)]
    for row in rows:
        trial = study.trials[int(row["trial_id"])]
        assert row["state"] == STATES[trial.state]
        assert int(row["epochs"]) == len(trial.intermediate_values)
        assert (row["state"] == "COMPLETE") == (int(row["epochs"]) == 3)
        assert float(row["val_map"]) == max(trial.intermediate_values.values())
    values = [float(row["val_map"]) for row in rows]
    assert values == sorted(values, reverse=True)
    summary = json.loads((experiment / "summary.json").read_text())
    assert (summary["trials"], summary["failed"]) == (6, 0)
    assert summary["complete"] + summary["pruned"] == 6
    assert summary["best_val_map"] == values[0]
    assert summary["best_trial_id"] == rows[0]["trial_id"]
    assert 0 < summary["busy_fraction"] < 1


def test_the_best_checkpoint_measures_what_the_leaderboard_says(experiment):
    best = float(leaderboard(experiment)[0]["val_map"])
    checkpoint = read_checkpoint(experiment / "best_checkpoint")
    assert checkpoint.metrics["val_map"] == best
    assert len(checkpoint.class_names) == 15
    engine = Engine(checkpoint.config, open_data(checkpoint.config.data))
    engine.model.load_state_dict(checkpoint.model.state_dict())
    assert engine.evaluate()["val_map"] == pytest.approx(best, abs=1e-6)


def test_the_best_config_is_complete_and_is_the_best_trials(experiment):
    config = parse_config(flatten(load_yaml(experiment / "best_config.yaml")))
    best = leaderboard(experiment)[0]
    assert config == read_checkpoint(experiment / "best_checkpoint").config
    assert config.optim.lr == float(best["optim.lr"])
    assert str(config.model.maps_per_class) == best["model.maps_per_class"]


def test_tensorboard_has_a_run_a_trial_with_hparams_and_scalars(experiment):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    for row in leaderboard(experiment):
        events = EventAccumulator(str(experiment / "tensorboard" / row["trial_id"])).Reload()
        scalars = events.Scalars("val/map")
        assert [event.step for event in scalars] == list(range(1, int(row["epochs"]) + 1))
        assert max(event.value for event in scalars) == pytest.approx(float(row["val_map"]), abs=1e-6)
        metadata = events.summary_metadata["_hparams_/session_start_info"]
        given = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
        assert given["optim.lr"].number_value == pytest.approx(float(row["optim.lr"]))
        assert given["model.attention"].string_value == row["model.attention"]


def test_nothing_of_a_search_lives_on(experiment):
    assert alive() == []


def test_the_same_seed_gives_the_same_leaderboard(experiment):
    space, folder = experiment.parent / "small.yaml", experiment.parent
    assert main(["--space", str(space), "--storage", str(folder), "--name", "second", *ONE_AT_A_TIME]) == 0
    first, second = (
        [{name: value for name, value in row.items() if name != "seconds"} for row in leaderboard(folder / name)]
        for name in ("first", "second")
    )
    assert first == second


def test_a_training_that_diverges_fails_its_trial_only(ray_cluster, space_file, tmp_path, capsys):
    diverging = ("{float: [1e-3, 1e-2], log: true}", "{choice: [1.0e-2, 1.0e30]}")
    file = space_file(diverging, ("name: adamw", "name: sgd"), ("trials: 4", "trials: 6"))
    assert main(["--space", str(file), "--storage", str(tmp_path), "--name", "x", "--sampler", "random"]) == 0
    rows = leaderboard(tmp_path / "x")
    assert {row["state"] for row in rows if row["optim.lr"] == "1e+30"} == {"FAIL"}
    assert all(row["state"] != "FAIL" for row in rows if row["optim.lr"] == "0.01")
    assert "FAIL: the loss is nan" in capsys.readouterr().out
    assert len(rows) == 6


def test_when_all_trials_fail_the_command_says_why(ray_cluster, space_file, tmp_path, capsys):
    arguments = ["--space", str(space_file()), "--storage", str(tmp_path), "--name", "x", "--trials", "2"]
    assert main([*arguments, "--optim.name", "sgd", "--optim.lr", "1e30"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "failed: no trial ended well: the loss is nan in epoch 1; lower optim.lr\n"
    assert captured.out.count("FAIL: the loss is nan in epoch 1") == 2  # none was tried again
    assert [row["state"] for row in leaderboard(tmp_path / "x")] == ["FAIL", "FAIL"]


def test_weights_that_do_not_load_are_said_before_any_trial(ray_cluster, space_file, tmp_path):
    (tmp_path / "w.pth").write_bytes(b"no weights")
    arguments = ["--space", str(space_file()), "--storage", str(tmp_path), "--name", "x"]
    with pytest.raises(InputError, match=r"model.pretrained: '.*w\.pth' cannot be read as weights"):
        main([*arguments, "--model.backbone", "resnet18", "--model.pretrained", str(tmp_path / "w.pth")])
    assert not (tmp_path / "x").exists()


def test_several_workers_train_one_trial(ray_cluster, space_file, tmp_path):
    flags = ["--workers-per-trial", "2", "--trials", "2", "--storage", str(tmp_path), "--name", "x"]
    assert main(["--space", str(space_file()), *flags]) == 0
    assert all(row["state"] in ("COMPLETE", "PRUNED") for row in leaderboard(tmp_path / "x"))
    checkpoint = read_checkpoint(tmp_path / "x" / "best_checkpoint")
    assert checkpoint.metrics["val_map"] == float(leaderboard(tmp_path / "x")[0]["val_map"])


def start(ray_cluster, file, folder, *flags):
    """A search in a process of its own, on the same Ray; returns once a trial has ended an epoch."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "decouple_search.tune",
            "--space",
            str(file),
            "--storage",
            str(folder),
            "--name",
            "x",
            *flags,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "RAY_ADDRESS": ray_cluster},
    )
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "  epoch " in line:
            return process
    raise AssertionError(f"no epoch was reported: {''.join(seen)}")


# SIGTERM takes SIGINT's way, so the fast one covers both.
@pytest.mark.parametrize("how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_interrupted_it_ends_with_what_is_there(ray_cluster, space_file, tmp_path, how):
    process = start(ray_cluster, space_file(("trials: 4", "trials: 500")), tmp_path, "--train.epochs", "50")
    process.send_signal(how)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130, out
    assert "interrupted" in out
    assert all((tmp_path / "x" / name).exists() for name in FILES)
    rows = leaderboard(tmp_path / "x")
    assert 1 <= len(rows) < 500
    assert {row["state"] for row in rows} <= {"PRUNED", "FAIL", "COMPLETE"}
    assert alive() == []


def test_a_killed_worker_costs_no_trial(ray_cluster, space_file, tmp_path):
    from ray.util.state import list_actors

    process = start(ray_cluster, space_file(), tmp_path, "--trials", "2", "--train.epochs", "12", "--scheduler", "none")
    workers = [a.pid for a in list_actors(filters=[("state", "=", "ALIVE"), ("class_name", "=", "GangWorker")])]
    os.kill(workers[0], signal.SIGKILL)
    out, _ = process.communicate(timeout=180)
    assert process.returncode == 0, out
    rows = leaderboard(tmp_path / "x")
    assert [row["state"] for row in rows] == ["COMPLETE", "COMPLETE"]
    assert [row["epochs"] for row in rows] == ["12", "12"]
