"""Whether the data of a search name test images."""

import json

import pytest

from decouple_search.results.on_test_images import has_test_images
from decouplenet.config import Config
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
