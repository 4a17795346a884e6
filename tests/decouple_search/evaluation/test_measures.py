"""What evaluate says of scores."""

import json

import numpy as np
import pytest

from decouple_search.evaluation.measures import measure, table
from decouple_search.evaluation.scoring import Scored
from decouplenet.data.image_set import ImageSet
from decouplenet.metrics import multilabel_metrics

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def scored():
    rng = np.random.default_rng(0)
    targets = (rng.random((40, 4)) < 0.3).astype(np.uint8)
    targets[:, 3] = 0
    images = ImageSet(tuple(f"{i}.jpg" for i in range(40)), targets, NAMES)
    scores = [np.clip(0.3 * targets + rng.random((40, 4)) * 0.6, 0, 1).astype(np.float32) for _ in range(2)]
    return Scored(images, scores, [], 1.5)


def test_each_and_the_ensemble(scored):
    told = measure(["one", "two"], scored, split="val")
    both = multilabel_metrics(np.mean(scored.scores, axis=0, dtype=np.float64), scored.images.targets)
    assert {key: told[key] for key in both} == both
    assert [each["checkpoint"] for each in told["checkpoints"]] == ["one", "two"]
    assert told["checkpoints"][0]["map"] == multilabel_metrics(scored.scores[0], scored.images.targets)["map"]
    assert (told["images"], told["split"], told["class_names"]) == (40, "val", list(NAMES))
    assert told["top3"]["r_o"] >= told["top3_above_half"]["r_o"]
    json.dumps(told)


def test_the_table_is_in_the_papers_order(scored):
    told = measure(["one", "two"], scored, split="val")
    lines = table(told).splitlines()
    assert lines[0] == "40 val images, in per cent"
    assert lines[1].split() == ["mAP", "P-C", "R-C", "F1-C", "P-O", "R-O", "F1-O"]
    keys = ("map", "p_c", "r_c", "f1_c", "p_o", "r_o", "f1_o")
    assert lines[2].split() == ["one", *(f"{100 * told['checkpoints'][0][key]:.2f}" for key in keys)]
    assert [line.split()[0] for line in lines[3:5]] == ["two", "ensemble"]
    top = told["top3"]
    assert lines[7].split() == ["ensemble,", "top", "3", *(f"{100 * top[key]:.2f}" for key in keys[1:])]
    assert lines[-1] == "mAP leaves out 1 of 4 classes, which no image has"
    alone = table(measure(["one"], scored._replace(scores=scored.scores[:1]), split="val")).splitlines()
    assert [line[:12].strip() for line in alone[2:5]] == ["one", "top 3", "top 3 > 0.5"]


def test_thresholds_tuned_on_some_images_and_used_on_others(scored, tmp_path, capsys):
    file = str(tmp_path / "t.json")
    plain = measure(["one", "two"], scored, split="val", tune=file)
    tuned = measure(["one", "two"], scored, split="val", thresholds=file)
    assert tuned["f1_c"] > plain["f1_c"]
    assert tuned["map"] == plain["map"]
    assert "were tuned on these very images" in capsys.readouterr().err
    others = scored._replace(images=ImageSet((*scored.images.paths[:0:-1], "x.jpg"), scored.images.targets, NAMES))
    measure(["one", "two"], others, split="val", thresholds=file)
    assert capsys.readouterr().err == ""
