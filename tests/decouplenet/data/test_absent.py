"""Which places of a config's data are not given, or not on this machine."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from decouplenet.command_line import parse_config
from decouplenet.config import DataConfig
from decouplenet.data.absent import absent_data, check_present, labels_alone
from decouplenet.data.formats import load_image_sets
from decouplenet.errors import InputError


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


@pytest.mark.parametrize("weights", [True, False])
def test_absent_weights_are_refused_where_this_machine_needs_them(tmp_path, weights):
    config = parse_config({"model.pretrained": str(tmp_path / "none.pth")})
    with (
        pytest.raises(InputError, match="^model.pretrained: no file '.*none.pth'; give a .pth")
        if weights
        else nullcontext()
    ):
        check_present(config, weights=weights)


def test_absent_labels_are_refused(tmp_path):
    keys = {"data.format": "table", "data.train_annotations": str(tmp_path / "none.csv"), "model.pretrained": False}
    with pytest.raises(InputError, match="^data.train_annotations '.*none.csv' is not on this machine; put it there"):
        check_present(parse_config(keys), weights=True)
    (tmp_path / "none.csv").touch()
    check_present(parse_config(keys), weights=True)
