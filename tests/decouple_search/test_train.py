"""The `train` command's line: what it reads, and what it refuses before Ray starts."""

from pathlib import Path

import pytest
import yaml

from decouple_search.train import read
from decouplenet.errors import InputError


@pytest.fixture
def config_file(tmp_path, config):
    """A complete config, as a search writes it."""
    file = tmp_path / "best_config.yaml"
    file.write_text(yaml.safe_dump(config(train__epochs=3).to_dict()))
    return file


def workers_of(request):
    return request.min_workers, request.max_workers


@pytest.mark.parametrize(("text", "workers"), [(None, (1, 1)), ("4", (4, 4)), ("2:8", (2, 8)), ("3:3", (3, 3))])
def test_workers(config_file, tmp_path, text, workers):
    flags = ["--workers", text] if text else []
    request = read(
        ["--config", str(config_file), "--storage", str(tmp_path), "--name", "x", *flags, "--train.epochs", "7"]
    )
    assert workers_of(request) == workers
    assert request.is_elastic == (workers[0] < workers[1])
    assert request.folder.uri == str(request.folder.local) == str(tmp_path / "x")
    assert (request.config.train.epochs, request.config.train.batch_size) == (7, 16)


def test_max_failures_and_the_cluster_file_are_in_the_request(config_file, tmp_path):
    flags = ["--config", str(config_file), "--storage", str(tmp_path), "--max-failures", "5"]
    cluster = str(Path(__file__).parents[2] / "cluster" / "aws.yaml")
    request = read([*flags, "--cluster", cluster])
    assert (request.max_failures, request.cluster) == (5, cluster)
    assert request.folder.name.startswith("train-")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workers", "0"], "--workers: '0' is neither a number from 1 nor MIN:MAX"),
        (["--workers", "8:2"], "--workers: '8:2' is neither"),
        (["--workers", "2:"], "--workers: '2:' is neither"),
        (["--workers", "9"], r"train.batch_size: 16 is out of range; .* 18 with --workers 9"),
        (["--workers", "4", "--train.accumulation", "3"], r"24 with --workers 4 and train.accumulation 3"),
        (["--max-failures", "-1"], "--max-failures: -1 is out of range"),
        (["--resume"], "--resume: which training"),
        (["--resume", "--name", "never"], "--resume: '.*never' is no training's folder"),
        (["--storage", "nothing://x"], "--storage: 'nothing://x/train-.*' cannot be used"),
        (["--name", "there"], "--name: '.*there' is there already; give another --name, or --resume"),
        (["--train.zero_stage", "4"], "train.zero_stage: 4 is not"),
        (["--train.deepspeed_config", "/no.json"], "train.deepspeed_config: '/no.json' cannot be read"),
        (["--train.objective", "latency_ms"], "train.objective: latency_ms is not"),
    ],
)
def test_wrong_flags_are_refused(config_file, tmp_path, flags, message):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match=message):
        read(["--config", str(config_file), "--storage", str(tmp_path), *flags])


def test_a_resumed_training_has_its_own_config_and_workers_unless_flags_say_otherwise(config_file, tmp_path):
    started = tmp_path / "x"
    started.mkdir()
    (started / "config.yaml").write_text(config_file.read_text().replace("epochs: 3", "epochs: 5"))
    flags = ["--storage", str(tmp_path), "--name", "x", "--resume"]
    assert read(flags).config.train.epochs == 5
    assert read([*flags, "--train.epochs", "9"]).config.train.epochs == 9
    assert workers_of(read(flags)) == (1, 1)
    (started / "flags.yaml").write_text("workers: '2:4'\n")
    assert workers_of(read(flags)) == (2, 4)
    assert workers_of(read([*flags, "--workers", "3"])) == (3, 3)


@pytest.mark.parametrize(
    ("key", "value"), [("model.alpha", "0.1"), ("optim.name", "adamw"), ("train.batch_size", "32"), ("train.seed", "1")]
)
def test_a_resumed_training_keeps_its_network_and_its_order_of_images(config_file, tmp_path, key, value):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.yaml").write_text(config_file.read_text())
    with pytest.raises(InputError, match=f"{key}: {value} is not what the training started with"):
        read(["--storage", str(tmp_path), "--name", "x", "--resume", f"--{key}", value])
