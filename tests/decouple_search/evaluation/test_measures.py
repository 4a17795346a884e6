"""The measures of scores, as a mapping and as text."""

import json

import numpy as np
import pytest

from decouple_search.evaluation.measures import head, measure, table
from decouple_search.evaluation.scoring import Scored
from decouplenet.data.image_set import ImageSet
from decouplenet.metrics import multilabel_metrics

CLASS_NAMES = ("a", "b", "c", "d")
CHECKPOINTS = ["first", "second"]


@pytest.fixture
def scored():
    """The scores of two checkpoints of 40 images, of which none has the last class."""
    rng = np.random.default_rng(0)
    targets = (rng.random((40, 4)) < 0.3).astype(np.uint8)
    targets[:, 3] = 0
    images = ImageSet(tuple(f"{i}.jpg" for i in range(40)), targets, CLASS_NAMES)
    scores = [np.clip(0.3 * targets + rng.random((40, 4)) * 0.6, 0, 1).astype(np.float32) for _ in range(2)]
    return Scored(images, scores, [0.7, 0.8], [], 1.5)


def test_each_checkpoint_and_the_ensemble_are_measured(scored):
    measured = measure(CHECKPOINTS, scored, split="val")
    ensemble = multilabel_metrics(np.mean(scored.scores, axis=0, dtype=np.float64), scored.images.targets)
    assert {key: measured[key] for key in ensemble} == ensemble
    assert [each["checkpoint"] for each in measured["checkpoints"]] == CHECKPOINTS
    assert measured["checkpoints"][0]["map"] == multilabel_metrics(scored.scores[0], scored.images.targets)["map"]
    assert (measured["images"], measured["split"], measured["class_names"]) == (40, "val", list(CLASS_NAMES))
    assert measured["seconds"] == 1.5
    assert measured["top3"]["r_o"] >= measured["top3_above_half"]["r_o"]
    json.dumps(measured)


def test_the_table_has_the_papers_measures_in_its_order(scored):
    measured = measure(CHECKPOINTS, scored, split="val")
    lines = table(measured).splitlines()
    assert lines[0] == head(measured) == "40 val images, in per cent"
    assert lines[1].split() == ["mAP", "P-C", "R-C", "F1-C", "P-O", "R-O", "F1-O"]
    keys = ("map", "p_c", "r_c", "f1_c", "p_o", "r_o", "f1_o")
    assert lines[2].split() == ["first", *(f"{100 * measured['checkpoints'][0][key]:.2f}" for key in keys)]
    assert [line.split()[0] for line in lines[3:5]] == ["second", "ensemble"]
    top = measured["top3"]
    assert lines[7].split() == ["ensemble,", "top", "3", *(f"{100 * top[key]:.2f}" for key in keys[1:])]
    assert lines[-1] == "mAP leaves out 1 of 4 classes, because no image has them"


def test_the_table_of_a_single_checkpoint_has_no_ensemble(scored):
    measured = measure(["first"], scored._replace(scores=scored.scores[:1]), split="val")
    lines = table(measured).splitlines()
    assert [line[:12].strip() for line in lines[2:5]] == ["first", "top 3", "top 3 > 0.5"]


def test_thresholds_that_were_tuned_on_the_same_images_are_noted(scored, tmp_path, capsys):
    file = str(tmp_path / "t.json")
    plain = measure(CHECKPOINTS, scored, split="val", tune=file)
    tuned = measure(CHECKPOINTS, scored, split="val", thresholds=file)
    assert tuned["f1_c"] > plain["f1_c"]
    assert tuned["map"] == plain["map"]
    assert "were tuned on these images, so P, R and F1 are too high" in capsys.readouterr().err
    others = ImageSet((*scored.images.paths[:0:-1], "x.jpg"), scored.images.targets, CLASS_NAMES)
    measure(CHECKPOINTS, scored._replace(images=others), split="val", thresholds=file)
    assert capsys.readouterr().err == ""
