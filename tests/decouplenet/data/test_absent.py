"""Which places of a config's data are not given, or not on this machine."""

from dataclasses import replace

import pytest

from decouplenet.config import DataConfig
from decouplenet.data.absent import absent_data, labels_alone
from decouplenet.data.formats import load_image_sets


def problems(config):
    return [[place.problem for place in places] for places in absent_data(config)]


@pytest.mark.parametrize(
    ("data_format", "labels", "images"),
    [
        ("coco", ["data.train_annotations is not given"], ["data.train_images is not given"]),
        ("nuswide", ["data.train_annotations is not given"], ["data.train_images is not given"]),
        ("voc", ["data.train_annotations is not given"], []),
        ("table", ["data.train_annotations is not given"], []),
        ("synthetic", [], []),
    ],
)
def test_places_that_a_format_needs_and_that_are_not_given(data_format, labels, images):
    assert problems(DataConfig(format=data_format)) == [labels, images]


def test_places_that_are_not_on_this_machine(tmp_path):
    (tmp_path / "labels.json").touch()
    config = DataConfig(
        format="coco", train_annotations=str(tmp_path / "labels.json"), train_images="s3://bucket/images"
    )
    assert problems(config) == [[], []]
    config = replace(config, val_images="none/val")
    assert problems(config) == [[], []]  # without labels nobody reads them
    config = replace(config, val_annotations="none/val.json")
    assert problems(config) == [
        ["data.val_annotations 'none/val.json' is not on this machine"],
        ["data.val_images 'none/val' is not on this machine"],
    ]
    assert absent_data(config).images[0].advice == "put it there, or give another place with --data.val_images"


def test_nothing_is_known_of_an_extensions_format():
    assert problems(DataConfig(format="mine", train_annotations="none")) == [[], []]


def test_labels_are_read_without_their_images(tmp_path):
    (tmp_path / "table.csv").write_text("path,label\na.jpg,cat\nb.jpg,dog\nc.jpg,dog\n")
    config = DataConfig(format="table", train_annotations=str(tmp_path / "table.csv"), train_images="none", holdout=0.4)
    train, val = load_image_sets(labels_alone(config))
    assert (len(train), len(val), train.class_names) == (2, 1, ("cat", "dog"))
