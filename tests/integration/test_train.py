"""Whole trainings on a real Ray: their files, and that what is interrupted goes on as if it had not been."""

import os
import subprocess
import sys
import time

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from decouple_search.train import main
from decouplenet.checkpoint import read_checkpoint
from decouplenet.command_line import run
from decouplenet.data.cache import open_data
from decouplenet.engine import Engine

pytestmark = pytest.mark.ray


def workers_alive():
    """Ray Train's workers; its controller stays as long as the driver, and two of Ray's own actors as long as Ray."""
    from ray.util.state import list_actors

    return [a.name for a in list_actors(filters=[("state", "!=", "DEAD")]) if a.class_name == "RayTrainWorker"]


@pytest.fixture
def flags(tmp_path, config):
    """A small training's command line."""
    file = tmp_path / "best_config.yaml"
    file.write_text(yaml.safe_dump(config(train__epochs=4, data__synthetic_images=600).to_dict()))
    open_data(config(data__synthetic_images=600).data)
    return ["--config", str(file), "--storage", str(tmp_path), "--workers", "2"]


def weights(folder):
    return read_checkpoint(folder / "best_checkpoint").model.state_dict()


def test_killed_and_resumed_it_ends_with_the_same_weights(ray_cluster, flags, tmp_path, capsys):
    assert main([*flags, "--name", "straight"]) == 0
    assert "epoch 4/4" in capsys.readouterr().out
    command = [sys.executable, "-m", "decouple_search.train", *flags, "--name", "killed"]
    environment = {**os.environ, "RAY_ADDRESS": ray_cluster}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert any("epoch 1/4" in line for line in process.stdout)
        process.kill()
    while workers_alive():
        time.sleep(0.1)
    assert main(["--storage", str(tmp_path), "--name", "killed", "--resume"]) == 0
    out = capsys.readouterr().out
    assert "epoch 1/4" not in out
    assert "epoch 4/4" in out
    straight, killed = weights(tmp_path / "straight"), weights(tmp_path / "killed")
    assert all(torch.equal(value, killed[name]) for name, value in straight.items())

    kept = read_checkpoint(tmp_path / "straight" / "best_checkpoint")
    engine = Engine(kept.config, open_data(kept.config.data))
    engine.model.load_state_dict(kept.model.state_dict())
    assert engine.evaluate()["val_map"] == pytest.approx(kept.metrics["val_map"], abs=1e-6)
    events = EventAccumulator(str(tmp_path / "straight" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("val/map")] == [1, 2, 3, 4]
    assert workers_alive() == []


def test_what_cannot_be_trained_is_one_line(ray_cluster, flags, capsys):
    assert run(main, [*flags, "--name", "x", "--workers", "1", "--optim.lr", "1e30"]) == 1
    assert "failed: the loss is " in capsys.readouterr().err
    assert workers_alive() == []
