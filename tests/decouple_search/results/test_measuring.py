"""Whether the data of a search name test images, and what a checkpoint measures on all workers."""

import json

import numpy as np
import pytest

from decouple_search.evaluation.scoring import Scored
from decouple_search.results import measuring
from decouple_search.results.measuring import has_test_images, measure_on_test, measure_split
from decouplenet.config import Config
from decouplenet.data.image_set import ImageSet
from decouplenet.dotted_keys import nest


@pytest.fixture
def table(tmp_path):
    """Make the data config of a table with rows of these splits."""

    def make(*splits, **keys):
        lines = ["image,labels,split"] + [f"{i}.jpg,{'ab'[i % 2]},{split}" for i, split in enumerate(splits)]
        file = tmp_path / "labels.csv"
        file.write_text("\n".join(lines) + "\n")
        for i in range(len(splits)):
            (tmp_path / f"{i}.jpg").touch()
        data = {"format": "table", "train_annotations": str(file), "train_images": str(tmp_path), **keys}
        return Config.from_dict(nest({f"data.{name}": value for name, value in data.items()})).data

    return make


def test_test_rows_of_a_table_are_test_images(table):
    assert has_test_images(table("train", "train", "val", "val", "test", "test"))


def test_a_table_without_test_rows_has_none(table):
    assert not has_test_images(table("train", "train", "val", "val"))


def test_test_rows_that_serve_as_validation_images_are_none(table):
    splits = ["train"] * 8 + ["test"] * 2
    config = table(*splits)
    same = table(*splits, val_annotations=config.train_annotations)
    assert has_test_images(config)
    assert not has_test_images(same)


def test_other_formats_have_them_where_they_are_named(tmp_path):
    assert not has_test_images(Config().data)
    content = {"images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(4)], "categories": [{"id": 1, "name": "a"}]}
    content["annotations"] = [{"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 1, 1]} for i in range(2)]
    (tmp_path / "all.json").write_text(json.dumps(content))
    (tmp_path / "none.json").write_text(json.dumps({**content, "images": [], "annotations": []}))
    for i in range(4):
        (tmp_path / f"{i}.jpg").touch()
    coco = {"format": "coco", "train_annotations": str(tmp_path / "all.json"), "train_images": str(tmp_path)}

    def data(**keys):
        return Config.from_dict({"data": {**coco, **keys}}).data

    assert not has_test_images(data())
    assert has_test_images(data(test_annotations=str(tmp_path / "all.json")))
    same = data(test_annotations=str(tmp_path / "all.json"), val_annotations=str(tmp_path / "all.json"))
    assert not has_test_images(same), "the validation images count as test images"


@pytest.fixture
def scored(monkeypatch, tmp_path):
    """The scores of a checkpoint in `tmp_path`; gives the splits that were asked for."""
    (tmp_path / "config.yaml").write_text("{}")
    targets, asked = np.eye(3, dtype=np.uint8), []
    images = ImageSet(("a.jpg", "b.jpg", "c.jpg"), targets, ("x", "y", "z"))

    def score_all(members, *, split, workers):
        asked.append((members[0].folder, split, workers))
        return Scored(images, [targets * np.float32(0.8)], [0.25], [], 1.0)

    monkeypatch.setattr(measuring, "score_all", score_all)
    return asked


def test_a_split_is_measured_on_all_workers(scored, tmp_path):
    count, metrics = measure_split(tmp_path, "val")
    assert scored == [(tmp_path, "val", None)]
    assert (count, metrics["map"], metrics["ap"], metrics["loss"]) == (3, 1.0, [1.0] * 3, 0.25)


def test_the_measures_of_test_images_are_numbers(scored, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "has_test_images", lambda data: True)
    count, metrics = measure_on_test(tmp_path)
    assert scored == [(tmp_path, "test", None)]
    assert (count, metrics["map"]) == (3, 1.0)
    assert "ap" not in metrics
    monkeypatch.setattr(measuring, "has_test_images", lambda data: False)
    assert measure_on_test(tmp_path) is None
