"""Whole trainings on a real Ray: their files, and that a resumed one ends like one that was not interrupted."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from ray.cluster_utils import Cluster
from safetensors.torch import load, load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from decouple_search.evaluate import main as evaluate
from decouple_search.gang.gang import Gang
from decouple_search.storage.opening import open_checkpoint
from decouple_search.train import main
from decouple_search.tune import main as tune
from decouplenet.checkpoint import read_checkpoint
from decouplenet.command_line import run
from decouplenet.config import Config
from decouplenet.data.formats import load_image_sets
from decouplenet.data.opened import open_data
from decouplenet.data.transforms import normalise
from decouplenet.metrics import multilabel_metrics
from decouplenet.optim import lr_factor
from decouplenet.yaml_text import load_yaml

pytestmark = pytest.mark.ray


def workers():
    """Ray Train's workers; its controller stays as long as the driver, and two of Ray's own actors as long as Ray."""
    from ray.util.state import list_actors

    return [actor for actor in list_actors(filters=[("state", "!=", "DEAD")]) if actor.class_name == "RayTrainWorker"]


def start_training(*flags, address):
    """Start the train command as a process."""
    line = [sys.executable, "-m", "decouple_search.train", *flags]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env={**os.environ, "RAY_ADDRESS": address})


def drain(address, node):
    """Announce that a machine will be taken away in a minute, as a cloud does through the autoscaler."""
    line = ["ray", "drain-node", "--address", address, "--node-id", node, "--deadline-remaining-seconds", "60"]
    line += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    subprocess.run([str(Path(sys.executable).with_name(line[0])), *line[1:]], check=True, capture_output=True)


def scalars(folder, tag):
    """The values in TensorBoard by epoch."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {event.step: event.value for event in events.Scalars(tag)}


@pytest.fixture
def config_file(tmp_path, config):
    """Write the file of a small configuration for two workers; returns its path."""

    def write(**keys):
        keys = {"train__epochs": 4, "data__synthetic_images": 600, "scaling__workers_per_trial": 2} | keys
        (tmp_path / "best_config.yaml").write_text(yaml.safe_dump(config(**keys).to_dict()))
        return str(tmp_path / "best_config.yaml")

    return write


def test_a_killed_training_is_resumed_and_ends_with_the_weights_of_one_without_interruption(
    ray_cluster, config_file, tmp_path, capsys
):
    flags = ["--storage", str(tmp_path), "--name", "killed"]
    with start_training("--config", config_file(), *flags, address=ray_cluster) as process:
        assert any("epoch 1/4" in line for line in process.stdout)
        assert len(workers()) == 2
        process.kill()
    while workers():
        time.sleep(0.1)
    assert main([*flags, "--resume"]) == 0
    out = capsys.readouterr().out
    assert "epoch 1/4" not in out
    assert "epoch 4/4" in out
    assert workers() == []

    folder = tmp_path / "killed"
    settings = load_yaml(folder / "config.yaml")
    config = Config.from_dict(settings)
    gang = Gang(replace(config.scaling, gpus_per_worker=0.0))
    gang.start(config)
    maps = {epoch: gang.train_epoch().measures["val_map"] for epoch in range(1, 5)}
    uninterrupted = load(gang.checkpoint({})["model.safetensors"])
    gang.stop()
    states = {path.parent: torch.load(path, weights_only=True) for path in folder.glob("checkpoints/*/state.pt")}
    last = max(states, key=lambda path: states[path]["epoch"])
    assert states[last]["epoch"] == 4
    assert all(torch.equal(value, uninterrupted[name]) for name, value in load_file(last / "model.safetensors").items())
    assert scalars(folder, "val/map") == pytest.approx(maps, abs=1e-6)

    best = folder / "best_checkpoint"
    exported = read_checkpoint(best)
    assert exported.metrics["val_map"] == pytest.approx(max(maps.values()), abs=1e-9)
    other = tmp_path / "other"  # a checkpoint with another network's weights, of the same classes
    other.mkdir()
    for name in ("config.yaml", "metrics.json", "model.safetensors"):
        (other / name).write_bytes((min(states, key=str) / name).read_bytes())
    capsys.readouterr()
    assert evaluate(["--checkpoint", str(best), str(other), "--json"]) == 0
    ensemble = json.loads(capsys.readouterr().out)
    assert (ensemble["images"], ensemble["split"]) == (120, "val")
    assert [each["checkpoint"] for each in ensemble["checkpoints"]] == [str(best), str(other)]
    assert ensemble["checkpoints"][0]["map"] == pytest.approx(exported.metrics["val_map"], abs=1e-6)
    data = open_data(exported.config.data)
    images = torch.from_numpy(data.val_pixels[range(len(data.val))].copy()).permute(0, 3, 1, 2)
    with torch.inference_mode():
        scores = [read_checkpoint(path).model(normalise(images)).sigmoid() for path in (best, other)]
    assert ensemble["map"] == pytest.approx(multilabel_metrics(sum(scores) / 2, data.val.targets)["map"], abs=1e-4)
    assert run(evaluate, ["--checkpoint", str(best), "--data.holdout", "0.3", "--data.format", "coco"]) == 2
    assert "data.train_annotations: not given" in capsys.readouterr().err


def test_the_objective_of_the_config_chooses_the_best_epoch(ray_cluster, config_file, tmp_path, capsys):
    """The learning rate is so high that the loss rises after the first epoch, while the mAP still improves."""
    file = config_file(
        optim__lr=0.8, optim__schedule="constant", data__synthetic_images=120, scaling__workers_per_trial=1
    )
    flags = ["--config", file, "--storage", str(tmp_path), "--name", "x", "--train.objective", "val_loss"]
    assert main(flags) == 0
    folder = tmp_path / "x"
    losses = scalars(folder, "val/loss")
    best = min(losses, key=losses.get)
    assert len(losses) == 4
    metrics = json.loads((folder / "best_checkpoint" / "metrics.json").read_text())
    assert (metrics["epoch"], metrics["val_loss"]) == (best, pytest.approx(losses[best], abs=1e-6))
    out = capsys.readouterr().out
    assert f"best       epoch {best}, val_loss {metrics['val_loss']:.4f}" in out
    assert f"epoch {best}/4  train_loss " in out
    maps = scalars(folder, "val/map")
    assert best not in (4, max(maps, key=maps.get)), "the last epoch or the highest mAP would choose the same epoch"


@pytest.mark.slow
def test_a_diverging_training_fails_with_one_line(ray_cluster, config_file, tmp_path, capsys):
    flags = ["--config", config_file(), "--storage", str(tmp_path), "--name", "x", "--optim.lr", "1e30"]
    assert run(main, flags) == 1
    assert "failed: the loss is " in capsys.readouterr().err
    assert workers() == []


@pytest.mark.slow
def test_a_training_with_zero_3_on_s3_survives_a_lost_worker(ray_cluster, config_file, tmp_path, capsys, s3):
    file = config_file(train__strategy="deepspeed", train__zero_stage=3, train__ema_decay=0.9, train__epochs=5)
    with start_training("--config", file, "--storage", s3, "--name", "zero", address=ray_cluster) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "epoch 2/5" in line:
                os.kill(next(actor.pid for actor in workers() if actor.pid), signal.SIGKILL)
    assert process.returncode == 0
    assert sum(" s  lost worker " in line and "saved is the end of epoch 2" in line for line in lines) == 1
    assert [sum(f"epoch {epoch}/5" in line for line in lines) for epoch in range(1, 6)] == [1] * 5
    base, _, query = s3.partition("?")
    with contextlib.ExitStack() as stack:
        _, folder = open_checkpoint(f"{base}/zero/best_checkpoint?{query}", stack)
        trained = read_checkpoint(folder).metrics["val_map"]
    capsys.readouterr()
    assert evaluate(["--checkpoint", f"{base}/zero/best_checkpoint?{query}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["map"] == pytest.approx(trained, abs=1e-6)


@pytest.mark.slow
def test_the_best_trial_of_a_search_is_trained_in_full(ray_cluster, space_file, tmp_path, capsys):
    flags = ["--space", str(space_file()), "--storage", str(tmp_path), "--name", "x", "--trials", "2"]
    assert tune([*flags, "--retrain-best", "--data.holdout", "0.3"]) == 0
    config = Config.from_dict(load_yaml(tmp_path / "x" / "retrained" / "config.yaml"))
    assert (config.data.holdout, config.train.epochs) == (0.0, 3)
    best = read_checkpoint(tmp_path / "x" / "retrained" / "best_checkpoint")
    assert best.metrics["epoch"] in (1, 2, 3)
    assert len(load_image_sets(config.data)[0]) == 96


@pytest.mark.slow
def test_an_announced_loss_of_a_machine_saves_a_part_of_the_epoch(ray_cluster, config_file, tmp_path):
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        spare = cluster.add_node(num_cpus=1)
        file = config_file(train__epochs=10, data__synthetic_images=8000, data__image_size=64)
        flags = ("--config", file, "--storage", str(tmp_path), "--name", "x", "--workers", "1:2")
        lines = []
        with start_training(*flags, address=cluster.address) as process:
            for line in process.stdout:
                lines.append(line)
                if "epoch 1/10" in line:
                    drain(cluster.address, spare.node_id)
                elif "is about to be taken away" in line:
                    steps = [
                        json.loads(path.read_text())["step"] for path in tmp_path.glob("x/checkpoints/*/metrics.json")
                    ]
                    cluster.remove_node(spare, allow_graceful=False)
        assert process.returncode == 0
    finally:
        cluster.shutdown()
    saved = re.search(r"(epoch (\d+), step (\d+)): saved, because a machine", "".join(lines))
    assert max(steps) == int(saved[3])
    assert 0 < int(saved[3]) < 400
    assert sum(f"; saved so far: {saved[1]}" in line for line in lines) == 1
    assert [sum(f"epoch {epoch}/10" in line for line in lines) for epoch in range(1, 11)] == [1] * 10
    rate = 0.05 * lr_factor("cosine", int(saved[2]) * 400 - 1, 10 * 400)
    assert scalars(tmp_path / "x", "train/lr")[int(saved[2])] == pytest.approx(rate, rel=1e-5)


@pytest.mark.slow
def test_a_changing_number_of_workers_does_not_change_the_learning_rates(ray_cluster, config_file, tmp_path):
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        spare = cluster.add_node(num_cpus=1)
        file = config_file(train__epochs=24, data__synthetic_images=8000, data__image_size=64)
        flags = ("--config", file, "--storage", str(tmp_path), "--name", "x", "--workers", "1:2")
        sizes = []
        with start_training(*flags, address=cluster.address) as process:
            for line in process.stdout:
                if "images/s on" not in line:
                    continue
                sizes.append(int(line.split()[-2]))
                if sizes == [2]:
                    cluster.remove_node(spare, allow_graceful=False)
                elif sizes == [2, 1]:
                    cluster.add_node(num_cpus=1)
        assert process.returncode == 0
    finally:
        cluster.shutdown()
    assert len(sizes) == 24
    assert (sizes[0], sizes[1], sizes[-1]) == (2, 1, 2)
    steps = 6400 // 16
    rates = {epoch: 0.05 * lr_factor("cosine", epoch * steps - 1, 24 * steps) for epoch in range(1, 25)}
    assert scalars(tmp_path / "x", "train/lr") == pytest.approx(rates, rel=1e-5)
