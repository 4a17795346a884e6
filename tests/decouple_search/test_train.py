"""The train command's line: what it refuses, and that it does so before Ray starts."""

import itertools
import json
from types import SimpleNamespace

import pytest
import yaml

from decouple_search.train import read
from decouplenet.errors import InputError


def died(message):
    """What Ray Train gives for a worker whose process ended."""
    from ray.exceptions import RayActorError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    return WorkerHealthCheckFailedError(message, RayActorError(error_msg="The actor died unexpectedly."))


@pytest.fixture
def config_file(tmp_path, config):
    """A complete config, as a search writes it."""
    file = tmp_path / "best_config.yaml"
    file.write_text(yaml.safe_dump(config(train__epochs=3).to_dict()))
    return file


@pytest.mark.parametrize(("given", "workers"), [(None, (1, 1)), ("4", (4, 4)), ("2:8", (2, 8)), ("3:3", (3, 3))])
def test_workers(config_file, tmp_path, given, workers):
    flags = ["--workers", given] if given else []
    folder, config, asked, _ = read(
        ["--config", str(config_file), "--storage", str(tmp_path), "--name", "x", *flags, "--train.epochs", "7"]
    )
    assert asked == workers
    assert folder.uri == str(folder.local) == str(tmp_path / "x")
    assert (config.train.epochs, config.train.batch_size) == (7, 16)


@pytest.mark.parametrize(
    ("flags", "said"),
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
    ],
)
def test_refused(config_file, tmp_path, flags, said):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match=said):
        read(["--config", str(config_file), "--storage", str(tmp_path), *flags])


def test_resume_takes_the_trainings_own_config(config_file, tmp_path):
    begun = tmp_path / "x"
    begun.mkdir()
    (begun / "config.yaml").write_text(config_file.read_text().replace("epochs: 3", "epochs: 5"))
    flags = ["--storage", str(tmp_path), "--name", "x", "--resume"]
    assert read(flags)[1].train.epochs == 5
    assert read([*flags, "--train.epochs", "9"])[1].train.epochs == 9
    assert read(flags)[2] == (1, 1)
    (begun / "flags.yaml").write_text("workers: '2:4'\n")
    assert read(flags)[2] == (2, 4)
    assert read([*flags, "--workers", "3"])[2] == (3, 3)


@pytest.mark.parametrize(
    ("key", "value"), [("model.alpha", "0.1"), ("optim.name", "adamw"), ("train.batch_size", "32"), ("train.seed", "1")]
)
def test_resume_refuses_another_network_or_order_of_images(config_file, tmp_path, key, value):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.yaml").write_text(config_file.read_text())
    with pytest.raises(InputError, match=f"{key}: {value} is not what the training began with"):
        read(["--storage", str(tmp_path), "--name", "x", "--resume", f"--{key}", value])


def test_a_list_of_checkpoints_that_cannot_be_read_is_put_aside(tmp_path, capsys):
    import ray

    from decouple_search.ray_train.training import SNAPSHOT, rescued

    assert rescued(tmp_path) is None
    for name, epoch, step in (("a", 1, 0), ("b", 1, 7), ("c", 2, 0)):
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"epoch": epoch, "step": step}))
        if name != "c":  # whose writing was cut off
            (folder / "state.pt").touch()
    snapshot = tmp_path / SNAPSHOT
    snapshot.write_text(json.dumps({"ray_version": ray.__version__}))
    assert rescued(tmp_path) is None
    snapshot.write_text('{"ray_ver')
    assert rescued(tmp_path) == str(tmp_path / "checkpoints" / "b")
    assert not snapshot.exists()
    assert "cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ({0: RuntimeError("Connection closed by peer"), 1: died("Worker 1 health check failed.")},
         "worker 1: The actor died unexpectedly."),
        ({1: KeyError("x"), 2: KeyError("y")}, "worker 1: KeyError: 'x'"),
    ],
)  # fmt: skip
def test_the_worker_that_died_is_the_culprit(failures, said):
    from decouple_search.ray_train.train_loop import culprit

    assert culprit(failures) == said


def test_a_loss_is_told_once_and_what_the_user_has_to_mend_ends_the_training():
    from decouple_search.ray_train.train_loop import Told

    queue = []
    told = Told(SimpleNamespace(put=queue.append))
    for _ in range(3):
        told.after_exception(None, {0: KeyError("x")})
    told.after_report(None, [{"epoch": 1}, {"epoch": 1}], None)
    told.after_exception(None, {0: KeyError("x")})
    assert queue == [{"lost": "worker 0: KeyError: 'x'"}, {"epoch": 1}, {"lost": "worker 0: KeyError: 'x'"}]
    with pytest.raises(InputError, match="no image"):
        told.after_exception(None, {0: RuntimeError("Connection closed by peer"), 1: InputError("no image")})
    assert len(queue) == 3


def test_a_notice_saves_once_and_so_does_a_long_epoch(monkeypatch):
    from ray.train import PreemptionInfo

    from decouple_search.ray_train import train_loop

    told = [None, {"a": [0]}, {"a": [0]}, {"a": [0]}, {"a": [0], "b": [1]}, {"b": [1]}]
    asked = [node and PreemptionInfo(deadline_ms=None, preempted_node_to_ranks=node) for node in told]
    monkeypatch.setattr(train_loop.ray.train, "get_preemption_info", lambda: asked.pop(0))
    monkeypatch.setattr(train_loop.ray.train.collective, "broadcast_from_rank_zero", lambda late: late)
    now = itertools.count()
    monkeypatch.setattr(train_loop.time, "monotonic", lambda: next(now) * 0.7 * train_loop.SAVE)
    pause, why = train_loop.Pause(), []
    for i in range(len(told) * train_loop.ASK):
        if pause():
            why.append((i // train_loop.ASK, pause.why))
            pause.saved()
    assert asked == []
    # The clock is looked at when asked and when saved, and each look is 0.7 of SAVE after the last.
    assert why == [(1, "notice"), (3, "time"), (4, "notice")]
