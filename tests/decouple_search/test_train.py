"""The train command's line: what it refuses, and that it does so before Ray starts."""

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


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ({0: "Traceback\nRuntimeError: Connection closed by peer", 1: "Health check failed.\nThe actor died."},
         "worker 1: The actor died."),
        ({1: "Traceback\n ...\nKeyError: 'x'", 2: "Traceback\n ...\nKeyError: 'y'"}, "worker 1: KeyError: 'x'"),
    ],
)  # fmt: skip
def test_the_worker_that_died_is_the_culprit(failures, said):
    from decouple_search.train_loop import culprit

    assert culprit({rank: RuntimeError(text) for rank, text in failures.items()}) == said


def test_a_notice_is_asked_for_now_and_then_and_taken_once(monkeypatch):
    from ray.train import PreemptionInfo

    from decouple_search import train_loop

    told = [None, {"a": [0]}, {"a": [0]}, {"a": [0], "b": [1]}, {"b": [1]}]
    asked = [node and PreemptionInfo(deadline_ms=None, preempted_node_to_ranks=node) for node in told]
    monkeypatch.setattr(train_loop.ray.train, "get_preemption_info", lambda: asked.pop(0))
    notice = train_loop.Notice()
    answers = [notice() for _ in range(len(told) * train_loop.ASK)]
    assert asked == []
    assert [i // train_loop.ASK for i, yes in enumerate(answers) if yes] == [1, 3]
