"""A search that screens heads on a real Ray: killed in the feature pass and among the heads, resumed, and its files."""

import json
import signal

import pytest
import torch

from decouple_search.study.record import own_trials, screened_trials
from decouple_search.tune import main
from decouplenet.backbones import build_backbone
from decouplenet.checkpoint import read_checkpoint
from decouplenet.yaml_text import load_yaml
from tests.integration.searches import (
    alive_on_ray,
    gang_pids,
    leaderboard,
    read_study,
    read_until,
    start_search,
    trials_with_checkpoints,
    wait_for_end,
)

pytestmark = pytest.mark.ray
HEADS, TRIALS = 6, 2
FLAGS = ("--screen", str(HEADS), "--trials", str(TRIALS))


@pytest.fixture
def pretrained(space_file, tmp_path):
    """A space whose backbone has weights of a file, with a key that a screen cannot judge."""
    torch.manual_seed(0)
    weights = tmp_path / "weights.pth"
    torch.save(build_backbone("tiny", pretrained=False)[0].state_dict(), weights)
    return space_file(
        ("pretrained: false", f"pretrained: {weights}"),
        ("backbone_lr_scale: 1.0", "backbone_lr_scale: 0.5"),
        ("  optim.lr:", "  optim.backbone_lr_scale: {float: [0.01, 1.0], log: true}\n  optim.lr:"),
    )


@pytest.mark.slow
def test_screened_heads_survive_a_kill(ray_cluster, pretrained, cache, tmp_path):
    process = start_search(ray_cluster, pretrained, tmp_path, *FLAGS)
    assert read_until(process, "screened", 3), "the search ended before it could be killed"
    gangs = gang_pids()
    process.send_signal(signal.SIGKILL)
    process.stdout.read()
    process.wait(timeout=60)
    wait_for_end(gangs)
    killed = {trial.number: trial for trial in screened_trials(read_study(tmp_path / "x"))}
    assert killed
    maps = {file: file.stat().st_mtime_ns for file in cache.glob("features-*.f16")}
    assert main(["--space", str(pretrained), "--storage", str(tmp_path), "--name", "x", *FLAGS]) == 0
    assert {file: file.stat().st_mtime_ns for file in cache.glob("features-*.f16")} == maps, "computed once more"
    study = read_study(tmp_path / "x")
    screened = screened_trials(study)
    assert all(screened[number].parameters == trial.parameters for number, trial in killed.items())
    check_study(screened, own_trials(study))


def test_screened_heads_are_never_ranked_with_full_trials(ray_cluster, pretrained, tmp_path, capsys):
    assert main(["--space", str(pretrained), "--storage", str(tmp_path), "--name", "x", *FLAGS]) == 0
    output = capsys.readouterr().out
    assert f"screen     {HEADS} heads for 4 epochs each, on feature maps of tiny" in output
    assert "only full trials can judge optim.backbone_lr_scale" in output
    study = read_study(tmp_path / "x")
    screened, full = screened_trials(study), own_trials(study)
    check_study(screened, full)
    assert study.best_trial.number in [trial.number for trial in full]
    check_files(tmp_path / "x", screened, full)
    assert alive_on_ray() == []


def check_study(screened, full):
    """Each head was trained once, to a rung or its last epoch, and as many full trials followed as there should be."""
    assert [trial.number for trial in screened] == list(range(HEADS)), "the start point was trained in full first"
    ends = {"PRUNED": ([1], [1, 2, 3]), "COMPLETE": ([1, 2, 3, 4],)}
    assert all(list(trial.curve) in ends[trial.result] for trial in screened)
    assert "COMPLETE" in [trial.result for trial in screened]
    assert len(full) == TRIALS


def check_files(experiment, screened, full):
    """The files tell screened and full trials apart, and the best of all is a full one."""
    rows = leaderboard(experiment)
    assert [row["stage"] for row in rows] == ["full"] * TRIALS + ["screen"] * HEADS
    values = [float(row["val_map"]) for row in rows[TRIALS:]]
    assert values == sorted(values, reverse=True)
    assert all(row["optim.backbone_lr_scale"] == "" for row in rows[TRIALS:])
    summary = json.loads((experiment / "summary.json").read_text())
    assert (summary["trials"], summary["screened"]) == (TRIALS, HEADS)
    assert summary["best_trial_id"] == rows[0]["trial_id"]
    assert summary["epochs"] == sum(trial.epochs for trial in full)
    checkpoint = read_checkpoint(experiment / "best_checkpoint")
    assert checkpoint.metrics["trial"] == rows[0]["trial_id"]
    assert not checkpoint.config.train.freeze_backbone
    assert not load_yaml(experiment / "best_config.yaml")["train"]["freeze_backbone"]
    names = {trial.name for trial in screened}
    assert not names & set(trials_with_checkpoints(experiment)), "a screened trial has a checkpoint"
    runs = experiment / "tensorboard"
    assert {run.name for run in (runs / "screen").iterdir()} == names
    assert {run.name for run in runs.iterdir()} - {"screen"} == {trial.name for trial in full}
