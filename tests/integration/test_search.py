"""Whole searches on a real Ray: their files, their determinism, and what happens when things go wrong."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from decouple_search.results import STATES
from decouple_search.study import STUDY_NAME
from decouple_search.trial import DecoupleTrial
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
    """Actors, and placement groups that are not removed."""
    from ray.util.state import list_actors, list_placement_groups

    actors = [actor.class_name for actor in list_actors(filters=[("state", "!=", "DEAD")])]
    return actors + [group.placement_group_id for group in list_placement_groups(filters=[("state", "!=", "REMOVED")])]


def gang_pids():
    """Processes of the gang workers that live."""
    from ray.util.state import list_actors

    return [a.pid for a in list_actors(filters=[("state", "=", "ALIVE"), ("class_name", "=", "GangWorker")])]


def workers_started():
    """Gang workers since this Ray began, ended ones too."""
    from ray.util.state import list_actors

    return len(list_actors(filters=[("class_name", "=", "GangWorker")], limit=1000))


def checkpoints(experiment):
    """Checkpoint folders of trials, by trial."""
    return sorted(folder.parent.name for folder in experiment.glob("trials/*/checkpoint_*"))


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
    assert 0 < summary["busy_fraction"] < summary["busy_fraction_warm"] < 1


def test_the_best_trials_checkpoints_stay_and_no_others(experiment):
    assert checkpoints(experiment) == sorted(row["trial_id"] for row in leaderboard(experiment)[:3])


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


@pytest.mark.parametrize("population", [5, pytest.param(2, marks=pytest.mark.slow)])
def test_pbt_goes_on_from_the_donors_weights(ray_cluster, space_file, tmp_path, capsys, monkeypatch, population):
    """With more trials than slots, and with all of them running at a time."""
    begun = tmp_path / "begun"
    begun.mkdir()

    class Together(DecoupleTrial):
        """Trains once both slots' gangs have started: the first one could end these few epochs before that."""

        def step(self):
            (begun / str(os.getpid())).touch()
            for _ in range(600):
                if len(list(begun.iterdir())) == 2:
                    return super().step()
                time.sleep(0.1)
            raise TimeoutError("the other slot's trial never began")

    monkeypatch.setattr("decouple_search.search.DecoupleTrial", Together)
    asha = "{name: asha, grace_epochs: 1, reduction_factor: 3}"
    file = space_file((asha, "{name: pbt, interval_epochs: 1}"), ("trials: 4", f"trials: {population}"))
    flags = ["--storage", str(tmp_path), "--name", "x", "--train.epochs", "5", "--keep-checkpoints", "5"]
    before = workers_started()
    assert main(["--space", str(file), *flags]) == 0
    assert workers_started() - before == 3  # one a slot, and one to measure the best again
    rows = leaderboard(tmp_path / "x")
    assert [(row["state"], row["epochs"]) for row in rows] == [("COMPLETE", "5")] * population
    assert "went on from trial" in capsys.readouterr().out
    taken = 0
    for folder in (tmp_path / "x").glob("trials/*/checkpoint_*"):
        told = json.loads((folder / "metrics.json").read_text())
        assert told["trial"] == folder.parent.name
        config = parse_config(flatten(load_yaml(folder / "config.yaml")))
        for origin in told["lineage"][-1:]:
            taken += 1
            donor, _, epoch = origin.partition(" epoch ")
            assert donor != told["trial"]
            assert int(epoch) < told["epoch"]
            # The network is the donor's, whatever was proposed for this trial.
            row = next(row for row in rows if row["trial_id"] == donor)
            assert str(config.model.attention) == row["model.attention"]
    assert taken
    assert checkpoints(tmp_path / "x") == sorted(row["trial_id"] for row in rows)
    assert alive() == []


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


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_workers_cost_no_trial(ray_cluster, space_file, tmp_path, kills):
    """Two workers a trial; in each trial one is killed in the middle of an epoch."""
    flags = ("--trials", str(kills), "--train.epochs", "4", "--scheduler", "none", "--workers-per-trial", "2")
    process = start(ray_cluster, space_file(), tmp_path, *flags)
    seen, hit = ["trial 0000  epoch 1/4"], set()
    for line in process.stdout:
        seen.append(line)
        trial, _, rest = line.partition("trial ")[2].partition("  ")
        if "epoch 2/4" in rest and trial not in hit:
            hit.add(trial)
            os.kill(gang_pids()[-1], signal.SIGKILL)
    assert process.wait(timeout=60) == 0, "".join(seen)
    rows = leaderboard(tmp_path / "x")
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(kills)]
    assert [(row["state"], row["epochs"]) for row in rows] == [("COMPLETE", "4")] * kills
    assert sum("goes on from its last checkpoint, on a new gang: The actor died" in line for line in seen) == kills
    assert sum("epoch 1/4" in line for line in seen) == kills  # none began again
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "x" / "study.log"))
    )
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    assert [list(trial.intermediate_values) for trial in study.trials] == [[1, 2, 3, 4]] * kills
    checkpoint = read_checkpoint(tmp_path / "x" / "best_checkpoint")
    assert checkpoint.metrics["val_map"] == pytest.approx(float(rows[0]["val_map"]), abs=1e-6)
    assert alive() == []


@pytest.mark.slow
def test_forty_trials_of_two_workers_leave_nothing_and_grow_nothing(ray_cluster, space_file, tmp_path):
    process = start(ray_cluster, space_file(), tmp_path, "--trials", "40", "--workers-per-trial", "2")
    gang, memory, seen = gang_pids(), {}, []
    for line in process.stdout:
        seen.append(line)
        if (ended := line.rpartition("[")[2]).endswith("/40]\n"):
            assert gang_pids() in (gang, [])  # the same processes from the first trial to the last
            memory[int(ended.partition("/")[0])] = [anonymous_memory(pid) for pid in gang]
    assert process.wait(timeout=60) == 0, "".join(seen)
    rows = leaderboard(tmp_path / "x")
    assert len(rows) == 40
    assert {row["state"] for row in rows} == {"COMPLETE", "PRUNED"}
    last = max(number for number, sizes in memory.items() if all(sizes))
    assert last >= 39
    for early, late in zip(memory[5], memory[last], strict=True):
        assert late < 1.1 * early
    assert alive() == []


def anonymous_memory(pid):
    """Kilobytes of a process that are its own; 0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")), 0)


def run_until(process, text, count=1):
    """Read a search's lines until some has been there a number of times; False where it ended before."""
    seen = 0
    for line in process.stdout:
        seen += text in line
        if seen == count:
            return True
    return False


@pytest.mark.parametrize(
    ("trials", "cuts"),
    [
        (6, ((signal.SIGKILL, 2), (signal.SIGTERM, 3))),
        pytest.param(24, ((signal.SIGKILL, 7),) * 5, marks=pytest.mark.slow),
    ],
)
def test_cut_off_and_begun_again_it_ends_with_the_same_trials(ray_cluster, space_file, tmp_path, trials, cuts):
    """Killed and stopped drivers: each trial is there once, and none begins anew what it had done."""
    file = space_file(("trials: 4", f"trials: {trials}"))
    for how, epochs in cuts:
        process = start(ray_cluster, file, tmp_path, "--keep-checkpoints", "30")
        assert run_until(process, "  epoch ", epochs)
        process.send_signal(how)
        process.stdout.read()
        assert process.wait(timeout=120) == (130 if how == signal.SIGTERM else -how)
        while gang_pids():
            time.sleep(0.1)
    process = start(ray_cluster, file, tmp_path, "--keep-checkpoints", "30", "--resume", "must")
    out = process.stdout.read()
    assert process.wait(timeout=60) == 0, out
    rows = leaderboard(tmp_path / "x")
    assert sorted(row["trial_id"] for row in rows) == [f"{i:04d}" for i in range(trials)]
    assert {row["state"] for row in rows} <= {"COMPLETE", "PRUNED"}
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "x" / "study.log"))
    )
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    assert len(study.trials) == trials
    for row in rows:
        trial = study.trials[int(row["trial_id"])]
        assert list(trial.intermediate_values) == list(range(1, int(row["epochs"]) + 1))
        assert (row["state"] == "COMPLETE") == (int(row["epochs"]) == 3)
    best = read_checkpoint(tmp_path / "x" / "best_checkpoint")
    assert best.metrics["val_map"] == pytest.approx(float(rows[0]["val_map"]), abs=1e-9)
    # Determined by seed and trial alone, so what was cut off has what an uncut training has.
    engine = Engine(best.config, open_data(best.config.data))
    values = []
    while engine.epoch < 3:
        values.append((engine.train_epoch() | engine.evaluate())["val_map"])
    assert max(values[: int(rows[0]["epochs"])]) == pytest.approx(float(rows[0]["val_map"]), abs=1e-6)
    assert main(["--space", str(file), "--storage", str(tmp_path), "--name", "x"]) == 0  # nothing is left to do
    assert leaderboard(tmp_path / "x") == rows
    with pytest.raises(InputError, match=r"was made by another search \(train.epochs: 3 there, 4 here\)"):
        main(["--space", str(file), "--storage", str(tmp_path), "--name", "x", "--train.epochs", "4"])
    assert alive() == []


@pytest.mark.slow
def test_a_population_that_was_killed_goes_on_as_one(ray_cluster, space_file, tmp_path):
    asha = "{name: asha, grace_epochs: 1, reduction_factor: 3}"
    file = space_file((asha, "{name: pbt, interval_epochs: 1}"), ("trials: 4", "trials: 5"))
    flags = ("--train.epochs", "6", "--keep-checkpoints", "5")
    for epochs in (8, 6):
        process = start(ray_cluster, file, tmp_path, *flags)
        assert run_until(process, "  epoch ", epochs)
        process.kill()
        process.stdout.read()
        process.wait(timeout=60)
        while gang_pids():
            time.sleep(0.1)
    process = start(ray_cluster, file, tmp_path, *flags)
    out = process.stdout.read()
    assert process.wait(timeout=120) == 0, out
    assert "went on from trial" in out
    rows = leaderboard(tmp_path / "x")
    assert sorted(row["trial_id"] for row in rows) == [f"{number:04d}" for number in range(5)]
    assert [(row["state"], row["epochs"]) for row in rows] == [("COMPLETE", "6")] * 5
    best = read_checkpoint(tmp_path / "x" / "best_checkpoint")
    assert best.metrics["val_map"] == pytest.approx(float(rows[0]["val_map"]), abs=1e-9)
    assert flatten(best.config.to_dict())["optim.lr"] == float(rows[0]["optim.lr"])
    assert alive() == []


def test_two_objectives_and_a_budget_of_epochs(ray_cluster, space_file, tmp_path, capsys):
    goals = "objective: [{metric: val_map}, {metric: parameters}, {metric: latency_ms}]"
    file = space_file(("trials: 4", f"trials: 50\n{goals}"))
    flags = ["--storage", str(tmp_path), "--name", "x", "--epoch-budget", "10"]
    assert main(["--space", str(file), *flags]) == 0
    assert "epochs trained (--epoch-budget)" in capsys.readouterr().out
    rows = leaderboard(tmp_path / "x")
    assert 10 <= sum(int(row["epochs"]) for row in rows) <= 12
    points = {}
    for row in rows:
        if row["state"] != "FAIL":
            points[row["trial_id"]] = (float(row["val_map"]), -float(row["parameters"]), -float(row["latency_ms"]))
            assert float(row["latency_ms"]) > 0
    front = {
        name
        for name, mine in points.items()
        if not any(other != mine and all(o >= m for o, m in zip(other, mine, strict=True)) for other in points.values())
    }
    assert {row["trial_id"] for row in rows if row["pareto"] == "true"} == front
    summary = json.loads((tmp_path / "x" / "summary.json").read_text())
    assert set(summary["pareto"]) == front
    assert summary["best_trial_id"] in front
    assert len({row["parameters"] for row in rows}) > 1
    config = parse_config(flatten(load_yaml(tmp_path / "x" / "best_config.yaml")))
    assert str(config.model.maps_per_class) == rows[0]["model.maps_per_class"]


@pytest.mark.slow
def test_a_budget_of_seconds_ends_the_search_well(ray_cluster, space_file, tmp_path, capsys):
    file = space_file(("trials: 4", "trials: 500"), ("epochs: 3", "epochs: 50"))
    assert main(["--space", str(file), "--storage", str(tmp_path), "--name", "x", "--time-budget", "40"]) == 0
    assert "ended      40 s (--time-budget)" in capsys.readouterr().out
    assert {row["state"] for row in leaderboard(tmp_path / "x")} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert json.loads((tmp_path / "x" / "summary.json").read_text())["trials"] < 500
