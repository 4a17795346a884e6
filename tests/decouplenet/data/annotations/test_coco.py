"""Reading COCO's format, and the errors for files that are not in it."""

import json

import numpy as np
import pytest

from decouplenet.config import DataConfig
from decouplenet.data.annotations.coco import boxes_outside, read_coco
from decouplenet.data.cache import open_pixels
from decouplenet.data.formats import load_image_sets
from decouplenet.errors import InputError
from tests.decouplenet.data.annotations.conftest import read


def test_labels_classes_and_empty_images(folder, content, capsys):
    images = read(folder, content)
    assert images.class_names == ("person", "dog", "toothbrush")
    assert [path.name for path in images.paths] == ["30.jpg", "10.jpg", "20.jpg"]
    assert images.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert capsys.readouterr().out == ""


def test_crowds_count_unless_switched_off(folder, content):
    assert read(folder, content, crowd=False).targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_repeated_or_missing_annotation_ids_lose_no_label(folder, content):
    expected = read(folder, content).targets.tolist()
    for annotation in content["annotations"]:
        annotation["id"] = 0
    assert read(folder, content).targets.tolist() == expected
    for annotation in content["annotations"]:
        del annotation["id"]
    assert read(folder, content).targets.tolist() == expected


def test_repeated_image_ids_are_refused(folder, content):
    content["images"][1]["id"] = 30
    with pytest.raises(InputError, match="has id 30 2 times among its images: 30.jpg, 10.jpg"):
        read(folder, content)


def test_a_broken_link_is_named(folder, content):
    (folder / "images" / "10.jpg").unlink()
    (folder / "images" / "10.jpg").symlink_to(folder / "gone.jpg")
    images = read(folder, content)
    with pytest.raises(InputError, match=r"10\.jpg: cannot be read"):
        open_pixels(images, 8, str(folder / "cache"))


def test_annotations_and_images_in_object_storage(folder, content, remote):
    local = read(folder, content)
    address = remote(folder)
    train = {"train_annotations": address("a.json"), "train_images": address("images/")}
    images = load_image_sets(DataConfig(format="coco", holdout=0.0, **train))[0]
    assert images.paths == tuple(address(f"images/{i}.jpg") for i in (30, 10, 20))
    assert np.array_equal(images.targets, local.targets)
    cached = open_pixels(images, 8, str(folder / "cache"))
    assert np.array_equal(cached, open_pixels(local, 8, "none")[np.arange(3)])


def test_faults_at_an_address_are_named_without_its_keys(folder, content, remote):
    content["annotations"][0]["category_id"] = 5
    content["annotations"][1]["bbox"] = [4, 4, 9, 9]
    (folder / "a.json").write_text(json.dumps(content))
    (folder / "bad.json").write_text("{")
    address = remote(folder)
    messages = []
    for name in ("a.json", "bad.json", "none.json"):
        with pytest.raises(InputError) as error:
            read_coco(address(name), address("images"), crowd=True, key="data.train")
        messages.append(str(error.value))
    assert "a.json': annotation 1 (image '30.jpg') uses category id 5" in messages[0]
    assert "bad.json' is not a COCO instances JSON" in messages[1]
    assert "none.json' cannot be read" in messages[2]
    messages += boxes_outside(address("a.json"), "data.train")
    assert "the box [4, 4, 9, 9] of annotation 2 of image '30.jpg' is empty or reaches outside" in messages[3]
    assert all(text.startswith("data.train_annotations: ") and "\n" not in text for text in messages)
    assert "secret" not in str(messages)


def drop(key):
    return lambda content: content.pop(key)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda c: c["annotations"][0].update(category_id=5),
            "annotation 1 .* uses category id 5, which the file does not",
        ),
        (lambda c: c["annotations"][0].update(image_id=99), "uses image id 99"),
        (
            lambda c: c["images"][1].update(file_name="gone.jpg"),
            "1 of 3 images are not in .*: 'gone.jpg'",
        ),
        (drop("categories"), "lacks the key 'categories'"),
        (lambda c: c["images"].clear(), "uses image id 30"),
    ],
)
def test_content_that_does_not_fit_is_named(folder, content, harm, message):
    harm(content)
    with pytest.raises(InputError, match=message):
        read(folder, content)


def test_missing_files_and_files_that_are_not_json(folder):
    with pytest.raises(InputError, match="data.train_annotations: no file"):
        read_coco(folder / "none.json", folder, crowd=True, key="data.train")
    (folder / "bad.json").write_text("{")
    with pytest.raises(InputError, match="not a COCO instances JSON"):
        read_coco(folder / "bad.json", folder / "images", crowd=True, key="data.train")
    with pytest.raises(InputError, match="data.val_images: no folder"):
        read_coco(folder / "bad.json", folder / "nothing", crowd=True, key="data.val")


def test_without_val_the_same_share_of_train_is_held_out(folder, content):
    content["images"] = [{"id": i, "file_name": "10.jpg", "width": 8, "height": 8} for i in range(100)]
    content["annotations"] = [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 1, 1]}]
    (folder / "a.json").write_text(json.dumps(content))
    config = DataConfig(
        format="coco",
        train_annotations=str(folder / "a.json"),
        train_images=str(folder / "images"),
        holdout=0.2,
    )
    train, val = load_image_sets(config)
    assert (len(train), len(val)) == (80, 20)
    reloaded = load_image_sets(config)
    assert np.array_equal(reloaded[1].targets, val.targets)
    assert train.targets.sum() + val.targets.sum() == 1


def test_val_with_other_classes_is_refused(folder, content):
    (folder / "a.json").write_text(json.dumps(content))
    content["categories"][0]["name"] = "comb"
    (folder / "b.json").write_text(json.dumps(content))
    config = DataConfig(
        format="coco",
        train_annotations=str(folder / "a.json"),
        train_images=str(folder / "images"),
        val_annotations=str(folder / "b.json"),
    )
    with pytest.raises(InputError, match=r"'comb' \(1 image\) is not among the classes of train"):
        load_image_sets(config)


def test_coco_without_paths_names_the_key():
    with pytest.raises(InputError, match="data.train_annotations: not given"):
        load_image_sets(DataConfig(format="coco"))


def test_real_coco_annotations(shared):
    mini = shared / "coco-mini"
    train = read_coco(mini / "annotations" / "instances_train.json", mini / "images", crowd=True, key="data.train")
    assert (len(train), len(train.class_names)) == (2172, 80)
    assert train.class_names[0] == "person"
    assert train.class_names[-1] == "toothbrush"
    assert 0.8 < train.targets[:, 0].mean() < 0.95


@pytest.mark.parametrize(
    ("harm", "advice"),
    [
        (lambda c: c["annotations"].clear(), "give a file with 'annotations'"),
        (lambda c: c.pop("annotations"), "give a file with 'annotations'"),
        (lambda c: c.update(annotations=None), "give a file with 'annotations'"),
        (lambda c: [a.update(iscrowd=1) for a in c["annotations"]], "correct 'annotations'"),
    ],
)
def test_a_file_without_a_label_is_a_fault_in_every_split(folder, content, messages, harm, advice):
    harm(content)
    images, faults, _ = messages(content, crowd=False)
    assert faults == [f" has no label in any image; {advice}"]
    assert (len(images), images.targets.sum(), len(images.class_names)) == (3, 0, 3)
    (folder / "val.json").write_text(json.dumps(content))
    content["annotations"] = [{"image_id": 10, "category_id": 1}]
    (folder / "a.json").write_text(json.dumps(content))
    places = {f"{split}_annotations": str(folder / name) for split, name in (("train", "a.json"), ("val", "val.json"))}
    config = DataConfig(format="coco", train_images=str(folder / "images"), crowd=False, **places)
    with pytest.raises(InputError, match=r"^data\.val_annotations: '.*val\.json' has no label in any image"):
        load_image_sets(config)
