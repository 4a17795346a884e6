"""Whole searches on a real Ray: their files, their determinism, and trainings that fail."""

import json
import os
import time
import zipfile
from pathlib import Path

import pytest
import yaml

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.callbacks.recorder import EpochRecorder
from decouple_search.ray_tune.schedulers import StoppingScheduler
from decouple_search.ray_tune.trainable import DecoupleTrial
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import from_tune, to_tune
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.study.record import TrialRecord
from decouple_search.tune import main
from decouplenet.checkpoint import read_checkpoint
from decouplenet.command_line import parse_config, run
from decouplenet.data.opened import open_data
from decouplenet.dotted_keys import flatten, nest
from decouplenet.engine import Engine
from decouplenet.errors import InputError
from decouplenet.yaml_text import load_yaml
from tests.integration.searches import (
    FILES,
    alive_on_ray,
    leaderboard,
    read_study,
    trained_in_one_go,
    trials_with_checkpoints,
    workers_started,
)

pytestmark = pytest.mark.ray
ONE_AT_A_TIME = ("--trials", "6", "--max-concurrent", "1", "--seed", "5")


@pytest.fixture(scope="module")
def experiment(ray_cluster, tmp_path_factory, small_space):
    """The folder of a search of six trials, which the first tests below share."""
    folder = tmp_path_factory.mktemp("results")
    space = folder / "small.yaml"
    space.write_text(small_space)
    assert main(["--space", str(space), "--storage", str(folder), "--name", "first", *ONE_AT_A_TIME]) == 0
    return folder / "first"


def test_every_file_is_written(experiment):
    assert all((experiment / name).exists() for name in FILES)


def test_leaderboard_and_summary_agree_with_the_study(experiment):
    rows = leaderboard(experiment)
    study = read_study(experiment)
    assert sorted(row["trial_id"] for row in rows) == [f"{i:04d}" for i in range(6)]
    for row in rows:
        trial = study.trials[int(row["trial_id"])]
        assert row["state"] == TrialRecord(trial).result
        assert int(row["epochs"]) == len(trial.intermediate_values)
        assert (row["state"] == "COMPLETE") == (int(row["epochs"]) == 3)
        assert float(row["val_map"]) == max(trial.intermediate_values.values())
    values = [float(row["val_map"]) for row in rows]
    assert values == sorted(values, reverse=True)
    summary = json.loads((experiment / "summary.json").read_text())
    assert (summary["trials"], summary["failed"]) == (6, 0)
    assert summary["complete"] + summary["pruned"] == 6
    assert summary["best_val_map"] == summary["best_value"] == values[0]
    assert summary["objective"] == "val_map"
    assert summary["best_trial_id"] == rows[0]["trial_id"]
    assert 0 < summary["busy_fraction"] < summary["busy_fraction_warm"] < 1


def test_only_the_best_trials_keep_their_checkpoint(experiment):
    folders = [name.partition(".")[0] for name in trials_with_checkpoints(experiment)]
    assert folders == sorted(row["trial_id"] for row in leaderboard(experiment)[:3])


def test_trials_are_paused_and_go_on_as_if_they_had_been_trained_in_one_go(experiment):
    rows, space = leaderboard(experiment), load_space(experiment.parent / "small.yaml")
    assert sum(int(row["epochs"]) for row in rows) <= Scheduler("promotion").epochs_in_all(6, 3)[1]
    went_on = {folder.name.partition(".")[0] for folder in experiment.glob("trials/*.1")}
    trained = [row["trial_id"] for row in rows if row["state"] == "COMPLETE" and row["trial_id"] in went_on]
    assert trained, "no trial was paused, went on, and was trained in full"
    trial = read_study(experiment).trials[int(trained[0])]
    config = parse_config({**space.base, **trial.params})
    assert trial.intermediate_values == trained_in_one_go(config)


def test_the_best_checkpoint_measures_what_the_leaderboard_says(experiment):
    best = float(leaderboard(experiment)[0]["val_map"])
    checkpoint = read_checkpoint(experiment / "best_checkpoint")
    assert checkpoint.metrics["val_map"] == best
    assert len(checkpoint.class_names) == 15
    engine = Engine(checkpoint.config, open_data(checkpoint.config.data))
    engine.model.load_state_dict(checkpoint.model.state_dict())
    assert engine.evaluate()["val_map"] == pytest.approx(best, abs=1e-6)


def test_the_best_config_is_that_of_the_best_checkpoint(experiment):
    config = parse_config(flatten(load_yaml(experiment / "best_config.yaml")))
    best = leaderboard(experiment)[0]
    assert config == read_checkpoint(experiment / "best_checkpoint").config
    assert config.optim.lr == float(best["optim.lr"])
    assert str(config.model.maps_per_class) == best["model.maps_per_class"]


def test_tensorboard_has_a_run_per_trial_with_hyperparameters_and_scalars(experiment):
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


def test_a_search_leaves_nothing_on_ray(experiment):
    assert alive_on_ray() == []


def test_the_same_seed_gives_the_same_leaderboard(experiment):
    space, folder = experiment.parent / "small.yaml", experiment.parent
    assert main(["--space", str(space), "--storage", str(folder), "--name", "second", *ONE_AT_A_TIME]) == 0
    first, second = (
        [{name: value for name, value in row.items() if name != "seconds"} for row in leaderboard(folder / name)]
        for name in ("first", "second")
    )
    assert first == second


@pytest.mark.slow
def test_a_diverging_training_fails_only_its_trial(ray_cluster, space_file, tmp_path, capsys):
    diverging = ("{float: [1e-3, 1e-2], log: true}", "{choice: [1.0e-2, 1.0e30]}")
    file = space_file(diverging, ("name: adamw", "name: sgd"), ("trials: 4", "trials: 6"))
    assert main(["--space", str(file), "--storage", str(tmp_path), "--name", "x", "--sampler", "random"]) == 0
    rows = leaderboard(tmp_path / "x")
    assert {row["state"] for row in rows if row["optim.lr"] == "1e+30"} == {"FAIL"}
    assert all(row["state"] != "FAIL" for row in rows if row["optim.lr"] == "0.01")
    assert "FAIL: the loss is nan" in capsys.readouterr().out
    assert len(rows) == 6


def test_a_search_whose_trials_all_fail_says_why(ray_cluster, space_file, tmp_path, capsys):
    arguments = ["--space", str(space_file()), "--storage", str(tmp_path), "--name", "x", "--trials", "2"]
    assert run(main, [*arguments, "--optim.name", "sgd", "--optim.lr", "1e30"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "failed: no trial ended well: the loss is nan in epoch 1; lower optim.lr\n"
    assert captured.out.count("FAIL: the loss is nan in epoch 1") == 2  # none was trained twice
    assert [row["state"] for row in leaderboard(tmp_path / "x")] == ["FAIL", "FAIL"]


def test_weights_that_cannot_be_read_are_refused_before_any_trial(ray_cluster, space_file, tmp_path):
    (tmp_path / "w.pth").write_bytes(b"no weights")
    arguments = ["--space", str(space_file()), "--storage", str(tmp_path), "--name", "x"]
    with pytest.raises(InputError, match=r"model.pretrained: '.*w\.pth' cannot be read as weights"):
        main([*arguments, "--model.backbone", "resnet18", "--model.pretrained", str(tmp_path / "w.pth")])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("population", [5, pytest.param(2, marks=pytest.mark.slow)])
def test_trials_of_a_population_continue_from_their_donors_weights(
    ray_cluster, space_file, tmp_path, capsys, monkeypatch, population
):
    """Both with more trials than slots and with all of them running at the same time."""
    started, saved = tmp_path / "started", tmp_path / "saved"
    started.mkdir()

    class Simultaneous(DecoupleTrial):
        """Trains once the gangs of both slots have started. Otherwise one could end these few epochs before that."""

        def step(self):
            (started / str(os.getpid())).touch()
            for _ in range(600):
                if len(list(started.iterdir())) == 2:
                    return super().step()
                time.sleep(0.1)
            raise TimeoutError("the other slot's trial has not started")

        def save_checkpoint(self, checkpoint_dir):
            """Keep what the checkpoint says of itself. Retention deletes most checkpoints before the test ends."""
            super().save_checkpoint(checkpoint_dir)
            metrics = json.loads((Path(checkpoint_dir) / "metrics.json").read_text())
            model = yaml.safe_load((Path(checkpoint_dir) / "config.yaml").read_text())["model"]
            with saved.open("a") as lines:
                lines.write(json.dumps({"attention": str(model["attention"]), **metrics}) + "\n")

    monkeypatch.setattr("decouple_search.ray_tune.tuner.DecoupleTrial", Simultaneous)
    promotion = "{name: promotion, grace_epochs: 1, reduction_factor: 3}"
    file = space_file((promotion, "{name: pbt, interval_epochs: 1}"), ("trials: 4", f"trials: {population}"))
    flags = ["--storage", str(tmp_path), "--name", "x", "--train.epochs", "5", "--keep-checkpoints", "5"]
    before = workers_started()
    assert main(["--space", str(file), *flags]) == 0
    assert workers_started() - before == 2  # one per slot
    rows = leaderboard(tmp_path / "x")
    assert [(row["state"], row["epochs"]) for row in rows] == [("COMPLETE", "5")] * population
    assert "continued from trial" in capsys.readouterr().out
    checkpoints = [json.loads(line) for line in saved.read_text().splitlines()]
    continued = [checkpoint for checkpoint in checkpoints if checkpoint["lineage"]]
    for checkpoint in continued:
        *before_donor, origin = checkpoint["lineage"]
        donor, _, epoch = origin.partition(" epoch ")
        assert donor != checkpoint["trial"]
        assert int(epoch) < checkpoint["epoch"]
        # The network is the donor's at that moment, whatever was proposed for this trial. Later the donor may itself
        # continue from another trial.
        (network,) = {
            other["attention"]
            for other in checkpoints
            if (other["trial"], other["epoch"], other["lineage"]) == (donor, int(epoch), before_donor)
        }
        assert checkpoint["attention"] == network
    assert continued
    assert trials_with_checkpoints(tmp_path / "x") == sorted(row["trial_id"] for row in rows)
    assert alive_on_ray() == []


@pytest.fixture
def formula_trial():
    """A trial without a gang. A local class, because Ray's processes cannot import this module."""

    class FormulaTrial(DecoupleTrial):
        """Trains without a gang, by a formula: the later a trial was proposed, the worse it is in each epoch."""

        def setup(self, config, **options):
            """Start the first configuration."""
            self.reset_config(config)

        def reset_config(self, new_config):
            """Start the next configuration."""
            self._spec, self._epoch = TrialSpec.from_tune(new_config), 0
            return True

        def step(self):
            """Compute an epoch."""
            self._epoch += 1
            measures = {"val_map": 0.9 - 0.1 * self._spec.number + 0.01 * self._epoch, "train_seconds": 0.01}
            done = self._epoch >= self._spec.config["train.epochs"]
            return to_tune(EpochResult(epoch=self._epoch, measures=measures), save=True, done=done)

        def save_checkpoint(self, checkpoint_dir):
            """Write a checkpoint without weights."""
            folder = Path(checkpoint_dir)
            metrics = {"epoch": self._epoch, "val_map": 0.9 - 0.1 * self._spec.number + 0.01 * self._epoch}
            (folder / "metrics.json").write_text(json.dumps(metrics))
            (folder / "config.yaml").write_text(yaml.safe_dump(nest(self._spec.config)))
            (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
            zipfile.ZipFile(folder / "state.pt", "w").close()

        def load_checkpoint(self, checkpoint_dir):
            """Resume from a checkpoint."""
            self._epoch = json.loads((Path(checkpoint_dir) / "metrics.json").read_text())["epoch"]

        def cleanup(self):
            """There is no gang to end."""

    return FormulaTrial


def read_metrics(folder):
    """A checkpoint's metrics, in place of a measurement."""
    return json.loads((folder / "metrics.json").read_text())


def test_asha_stops_trials_at_a_rung_by_the_curves_of_the_trials_before(
    ray_cluster, space_file, tmp_path, monkeypatch, formula_trial
):
    """Tune asks the scheduler about each epoch before the callbacks record it."""
    events, judge, record = [], StoppingScheduler.on_trial_result, EpochRecorder.on_trial_result

    def spy_on_scheduler(self, controller, trial, result):
        decision = judge(self, controller, trial, result)
        events.append((str(trial), from_tune(result).epoch, "judged"))
        return decision

    def spy_on_recorder(self, iteration, trials, trial, result, **info):
        events.append((str(trial), from_tune(result).epoch, "recorded"))
        record(self, iteration, trials, trial, result, **info)

    monkeypatch.setattr("decouple_search.ray_tune.tuner.DecoupleTrial", formula_trial)
    monkeypatch.setattr(StoppingScheduler, "on_trial_result", spy_on_scheduler)
    monkeypatch.setattr(EpochRecorder, "on_trial_result", spy_on_recorder)
    monkeypatch.setattr("decouple_search.results.best_checkpoint._measured", read_metrics)
    flags = ["--storage", str(tmp_path), "--name", "x", "--sampler", "random", "--trials", "6", "--scheduler", "asha"]
    assert main(["--space", str(space_file()), *flags]) == 0
    ended = {row["trial_id"]: (row["state"], row["epochs"]) for row in leaderboard(tmp_path / "x")}
    assert ended["0000"] == ("COMPLETE", "3"), "the best trial was stopped"
    rung = [ended[f"{number:04d}"] for number in range(2, 6)]
    assert rung == [("PRUNED", "1")] * 4, "the worst trials were not stopped at the rung after epoch 1"
    stopped = {trial.number: TrialRecord(trial).stopped_after for trial in read_study(tmp_path / "x").trials}
    assert [stopped[number] for number in range(2, 6)] == [1] * 4, "the scheduler's decision is not in the study"
    orders = {}
    for trial, epoch, event in events:
        orders.setdefault((trial, epoch), []).append(event)
    judged = {key: order for key, order in orders.items() if "judged" in order}
    assert len(judged) >= 6, "Tune does not ask the scheduler about each epoch before the last"
    assert set(map(tuple, judged.values())) == {("judged", "recorded")}, (
        "Tune does not ask the scheduler before the callbacks hear of an epoch"
    )


def test_two_objectives_and_a_budget_of_epochs(ray_cluster, space_file, tmp_path, capsys):
    objectives = "objective: [{metric: val_map}, {metric: parameters}, {metric: latency_ms}]"
    file = space_file(("trials: 4", f"trials: 50\n{objectives}"))
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
        for name, point in points.items()
        if not any(
            other != point and all(theirs >= value for theirs, value in zip(other, point, strict=True))
            for other in points.values()
        )
    }
    assert {row["trial_id"] for row in rows if row["pareto"] == "true"} == front
    summary = json.loads((tmp_path / "x" / "summary.json").read_text())
    assert set(summary["pareto"]) == front
    assert summary["best_trial_id"] in front
    assert len({row["parameters"] for row in rows}) > 1
    config = parse_config(flatten(load_yaml(tmp_path / "x" / "best_config.yaml")))
    assert str(config.model.maps_per_class) == rows[0]["model.maps_per_class"]


@pytest.mark.slow
def test_a_budget_of_seconds_ends_the_search(ray_cluster, space_file, tmp_path, capsys):
    file = space_file(("trials: 4", "trials: 500"), ("epochs: 3", "epochs: 50"))
    assert main(["--space", str(file), "--storage", str(tmp_path), "--name", "x", "--time-budget", "40"]) == 0
    assert "ended      40 s (--time-budget)" in capsys.readouterr().out
    assert {row["state"] for row in leaderboard(tmp_path / "x")} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert json.loads((tmp_path / "x" / "summary.json").read_text())["trials"] < 500


@pytest.mark.slow
def test_a_machine_without_the_folder_costs_no_trial(ray_cluster, space_file, tmp_path, monkeypatch):
    class WithoutFolder(DecoupleTrial):
        """From its third trial on, it runs on a machine that lacks the folder."""

        def _start(self, spec):
            self._missing_folder = "the folder is not there" if spec.number > 1 else None
            super()._start(spec)

    flags = ["--space", str(space_file()), "--storage", str(tmp_path), "--name", "x", "--scheduler", "none"]
    with monkeypatch.context() as patch:
        patch.setattr("decouple_search.ray_tune.tuner.DecoupleTrial", WithoutFolder)
        with pytest.raises(InputError, match="--storage: the folder is not there; give a"):
            main(flags)
    study = read_study(tmp_path / "x")
    assert "FAIL" not in {trial.state.name for trial in study.trials}
    assert "RUNNING" in {trial.state.name for trial in study.trials}
    assert alive_on_ray() == []
    assert main(flags) == 0
    rows = leaderboard(tmp_path / "x")
    assert [(row["state"], row["epochs"]) for row in rows] == [("COMPLETE", "3")] * 4
