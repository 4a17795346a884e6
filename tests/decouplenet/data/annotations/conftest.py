"""Fixtures: a small data set in COCO's format; what a reader of VOC says."""

import json

import pytest
from PIL import Image

from decouplenet.data.annotations.coco import read_coco
from decouplenet.data.annotations.voc import read_voc
from decouplenet.data.reporter import Reporter


@pytest.fixture
def content():
    """Three images, two with objects; ids that are neither sorted nor contiguous."""
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 8, "height": 8} for i in (30, 10, 20)],
        "categories": [
            {"id": 90, "name": "toothbrush"},
            {"id": 1, "name": "person"},
            {"id": 18, "name": "dog"},
        ],
        "annotations": [
            {"id": 1, "image_id": 30, "category_id": 90, "bbox": [0, 0, 1, 1], "iscrowd": 0},
            {"id": 2, "image_id": 30, "category_id": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0},
            {"id": 3, "image_id": 30, "category_id": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0},
            {"id": 4, "image_id": 20, "category_id": 18, "bbox": [0, 0, 1, 1], "iscrowd": 1},
        ],
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for i in (10, 20, 30):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{i}.jpg")
    return tmp_path


def read(folder, content, **kwargs):
    (folder / "a.json").write_text(json.dumps(content))
    return read_coco(folder / "a.json", folder / "images", **{"crowd": True, "key": "data.train"} | kwargs)


@pytest.fixture
def messages(folder):
    """A function that reads some content, and gives the image set, the faults and the notes."""

    def collect(content, **kwargs):
        faults, notes = [], []
        images = read(folder, content, reporter=Reporter(faults.append, notes.append), **kwargs)
        start = f"data.train_annotations: '{folder / 'a.json'}'"
        return images, *([text.removeprefix(start) for text in texts] for texts in (faults, notes))

    return collect


class ReadVoc:
    """The images of a folder of XML files or a list, and what is said about them."""

    def __init__(self, annotations, images=None, **keys):
        self.faults, self.notes = [], []
        reporter = Reporter(self.faults.append, self.notes.append)
        keys = {"difficult": "ignore", "key": "data.train"} | keys
        self.images = read_voc(annotations, images, reporter=reporter, **keys)
        self.start = f"data.train_annotations: '{annotations}'"

    @property
    def labels(self):
        """The labels of each image by its name."""
        return {
            place.name: {self.images.class_names[c] for c in row.nonzero()[0]}
            for place, row in zip(self.images.paths, self.images.targets, strict=True)
        }
