"""`evaluate` of the Python API: what it measures, and what it refuses before Ray starts."""

import pytest
import yaml

from decouple_search import evaluate
from decouple_search.evaluation import measures, scoring
from decouplenet.errors import InputError


@pytest.fixture
def checkpoints(tmp_path, config):
    """Two folders with the config of a checkpoint."""
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(config(model__alpha=0.25).to_dict()))
    return folders


@pytest.fixture
def scored(monkeypatch):
    """What would be scored and measured; a line is printed."""
    calls = []

    def score_all(members, **options):
        print("progress")
        calls.append(([member.config for member in members], options))
        return "scores"

    def measure(names, scores, **options):
        calls.append((names, scores, options))
        return {"map": 0.5}

    monkeypatch.setattr(scoring, "score_all", score_all)
    monkeypatch.setattr(measures, "measure", measure)
    return calls


def test_a_checkpoint_is_scored_and_measured(checkpoints, scored, capsys):
    assert evaluate(checkpoints[0]) == {"map": 0.5}
    (configs, options), (names, scores, measuring) = scored
    assert [config.model.alpha for config in configs] == [0.25]
    assert options == {"split": "val", "workers": None, "cluster": None}
    assert (names, scores, measuring) == ([str(checkpoints[0])], "scores", {"split": "val", "thresholds": None})
    assert capsys.readouterr().out == "progress\n"


def test_several_checkpoints_are_measured_with_the_options(checkpoints, scored, capsys):
    keys = {"data": {"image_size": 48}, "model.alpha": 0.25}
    evaluate([str(checkpoints[0]), checkpoints[1]], split="train", config=keys, workers=2, quiet=True)
    (configs, options), (names, _, measuring) = scored
    assert [config.data.image_size for config in configs] == [48, 48]
    assert options == {"split": "train", "workers": 2, "cluster": None}
    assert (names, measuring["split"]) == ([str(each) for each in checkpoints], "train")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "checkpoint: not given; name the folder of a checkpoint, or several"),
        ({"checkpoint": []}, "checkpoint: not given"),
        ({"split": "dev"}, "--split: 'dev' is neither val, train nor test"),
        ({"workers": 0}, "--workers: 0 is not a whole number from 1"),
        ({"workers": "2"}, "--workers: '2' is not a whole number from 1"),
        ({"checkpoint": "none"}, "--checkpoint: 'none' has no config.yaml"),
        ({"experiment": "none"}, "--experiment: '.*none' has no checkpoints in trials/"),
    ],
)
def test_a_wrong_evaluation_is_refused(scored, arguments, message):
    with pytest.raises(InputError, match=f"^{message}"):
        evaluate(**arguments)
    assert scored == []


def test_the_network_of_a_checkpoint_cannot_be_changed(checkpoints, scored):
    with pytest.raises(InputError, match="^model.alpha: is the checkpoint's own .0.25 in .*; an evaluation cannot"):
        evaluate(checkpoints, config={"model.alpha": 0.9})
    assert scored == []


def test_thresholds_that_cannot_be_read_are_refused_before_anything_is_scored(checkpoints, scored, tmp_path):
    (checkpoints[0] / "metrics.json").write_text('{"class_names": ["cat"]}')
    with pytest.raises(InputError, match="thresholds.*none.json"):
        evaluate(checkpoints[0], thresholds=tmp_path / "none.json")
    assert scored == []
