"""VOC's XML files, and objects that are marked difficult."""

import numpy as np
import pytest
import torch

from decouplenet.config import DataConfig
from decouplenet.data.annotations.voc import CLASSES, read_voc
from decouplenet.data.formats import load_image_sets
from decouplenet.data.opened import open_data
from decouplenet.data.reporter import Reporter
from decouplenet.engine import Engine
from decouplenet.errors import InputError
from decouplenet.metrics import multilabel_metrics
from tests.decouplenet.data.annotations.conftest import ReadVoc

OBJECT = "<object><name>{}</name><difficult>{}</difficult><part><name>head</name></part></object>"


IMAGES = {
    "000001": [("person", 0), ("dog", 1)],
    "000002": [("dog", 1), ("dog", 0)],
    "000003": [],
    "000004": [("car", 0), ("person", 1)],
}


@pytest.fixture
def voc(tmp_path, photo):
    root = tmp_path / "VOC2007"
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "Annotations").mkdir()
    for i, (name, objects) in enumerate(IMAGES.items()):
        photo(root / "JPEGImages" / f"{name}.jpg", i)
        xml = "".join(OBJECT.format(*an_object) for an_object in objects)
        text = f"<annotation><filename>{name}.jpg</filename>{xml}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("000001\n000002\n000003\n")
    (root / "ImageSets" / "Main" / "test.txt").write_text("000004\n000001\n")
    return root


def config_of(voc, **keys):
    lists = voc / "ImageSets" / "Main"
    keys = {"train_annotations": str(lists / "trainval.txt"), "val_annotations": str(lists / "test.txt")} | keys
    return DataConfig(format="voc", **keys)


def present(images, i):
    return {CLASSES[c] for c in images.targets[i].nonzero()[0]}


def test_difficult_objects_are_ignored(voc):
    train, val = load_image_sets(config_of(voc))
    assert train.class_names == CLASSES
    assert [present(train, i) for i in range(3)] == [{"person"}, {"dog"}, set()]
    # 000002 has a difficult dog too, but also a dog that is not difficult.
    assert np.argwhere(train.ignored).tolist() == [[0, CLASSES.index("dog")]]
    assert np.argwhere(val.ignored).tolist() == [[0, CLASSES.index("person")], [1, CLASSES.index("dog")]]


@pytest.mark.parametrize(("difficult", "first"), [("positive", {"person", "dog"}), ("negative", {"person"})])
def test_difficult_objects_can_count(voc, difficult, first):
    train, _ = load_image_sets(config_of(voc, difficult=difficult))
    assert present(train, 0) == first
    assert train.ignored is None


def test_images_with_an_ignored_label_count_as_labelled(voc):
    train, _ = load_image_sets(config_of(voc, drop_unlabelled=True))
    assert [path.stem for path in train.paths] == ["000001", "000002"]


def test_ignored_labels_change_neither_training_nor_measures(voc, config):
    data = config_of(voc, image_size=32, cache=str(voc))
    base = config(train__batch_size=2, train__epochs=1)
    base.data = data
    opened = open_data(data)
    losses = []
    for flipped in (False, True):
        targets = opened.train.targets ^ (opened.train.ignored & flipped)
        train = type(opened.train)(opened.train.paths, targets, opened.train.class_names, opened.train.ignored)
        engine = Engine(base, opened._replace(train=train))
        losses.append(engine.train_epoch()["train_loss"])
        measured = engine.evaluate()
    assert losses[0] == losses[1]
    with torch.inference_mode():
        assert measured["val_loss"] > 0
    scores = np.full(opened.val.targets.shape, 0.4)
    scores[0, CLASSES.index("person")] = 0.9  # difficult, so not a false positive above the true one
    scores[1, CLASSES.index("person")] = 0.8
    result = multilabel_metrics(scores, opened.val.targets, ignored=opened.val.ignored)
    assert result["ap"][CLASSES.index("person")] == 1.0
    assert result["p_o"] == 1.0
    assert multilabel_metrics(scores, opened.val.targets)["ap"][CLASSES.index("person")] == 0.5


def test_a_folder_of_xml_files_and_other_classes(voc):
    file = voc / "Annotations" / "000003.xml"
    file.write_text(file.read_text().replace("</annotation>", OBJECT.format("wombat", 0) + "</annotation>"))
    images = read_voc(voc / "Annotations", None, difficult="ignore", key="data.train")
    assert images.class_names == ("car", "dog", "person", "wombat")
    assert len(images) == 4


def test_images_can_be_at_an_address_and_annotations_cannot(voc):
    train, val = load_image_sets(config_of(voc, train_images="s3://key:SECRET@b/photos?region=x"))
    assert train.paths[0] == "s3://key:SECRET@b/photos/000001.jpg?region=x"
    assert val.paths[0] == "s3://key:SECRET@b/photos/000004.jpg?region=x"
    with pytest.raises(InputError, match="'s3://b/VOC' is an address, but VOC's .* a folder of this machine") as error:
        load_image_sets(config_of(voc, val_annotations="s3://key:SECRET@b/VOC"))
    assert str(error.value).startswith("data.val_annotations: ")
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda voc: (voc / "Annotations" / "000002.xml").unlink(), r"000002\.xml: cannot be read"),
        (lambda voc: (voc / "Annotations" / "000002.xml").write_text("<a>"), r"000002\.xml: cannot be read"),
        (lambda voc: (voc / "JPEGImages" / "000001.jpg").unlink(), r"1 of 3 images are not in .*'000001\.jpg'"),
        (
            lambda voc: (voc / "ImageSets" / "Main" / "trainval.txt").write_text("000001 1\n000002 -1\n"),
            r"trainval\.txt:1: a line must have only an image id, and no XML file is called '000001 1\.xml'; give trai",
        ),
        (
            lambda voc: (voc / "ImageSets" / "Main" / "trainval.txt").write_text("000001.jpg -1\n000002.jpg 1\n"),
            r"trainval\.txt:1: a line must have only an image id",
        ),
        (
            lambda voc: (voc / "ImageSets" / "Main" / "trainval.txt").write_text("000003\n000001 cat 7\n"),
            r"trainval\.txt:2: a line must have only an image id",
        ),
        (
            lambda voc: (voc / "ImageSets" / "Main" / "trainval.txt").write_text("my photo\n"),
            r"my photo\.xml: cannot be read \(No such file",
        ),
        (lambda voc: (voc / "ImageSets" / "Main" / "trainval.txt").unlink(), "no '.*trainval.txt'"),
    ],
)
def test_faulty_files_are_named(voc, harm, message):
    harm(voc)
    with pytest.raises(InputError, match=message):
        load_image_sets(config_of(voc))


def test_a_split_without_an_object_is_a_fault(voc):
    for file in (voc / "Annotations").iterdir():
        file.write_text("<annotation></annotation>")
    read = ReadVoc(voc / "Annotations")
    assert read.faults == [f"{read.start} has no label in any image; its XML files have no object"]
    assert len(read.images) == 4
    file = voc / "Annotations" / "000001.xml"
    file.write_text(f"<annotation>{OBJECT.format('cat', 0)}</annotation>")
    (voc / "ImageSets" / "Main" / "test.txt").write_text("000004\n")
    with pytest.raises(InputError, match=r"^data\.val_annotations: '.*test\.txt' has no label in any image"):
        load_image_sets(config_of(voc))
    file.write_text(f"<annotation>{OBJECT.format('cat', 1)}</annotation>")
    assert ReadVoc(voc / "Annotations").faults == []  # a difficult object is one


def test_xml_files_in_folders_of_the_folder_are_read(voc):
    folder = voc / "Annotations" / "more"
    folder.mkdir()
    (voc / "Annotations" / "000003.xml").rename(folder / "000003.xml")
    images = read_voc(voc / "Annotations", None, difficult="ignore", key="data.train")
    assert sorted(path.name for path in images.paths) == [f"00000{i}.jpg" for i in range(1, 5)]


def test_that_the_classes_are_those_of_voc_is_noted(voc):
    notes = []
    config = DataConfig(format="voc", train_annotations=str(voc / "Annotations"), holdout=0.0)
    train, _ = load_image_sets(config, Reporter(note=notes.append))
    assert train.class_names == CLASSES
    assert any("the classes are VOC's 20" in note for note in notes)
    notes.clear()
    config.classes = ["car", "dog", "person"]
    assert load_image_sets(config, Reporter(note=notes.append))[0].class_names == ("car", "dog", "person")
