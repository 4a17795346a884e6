"""Reading COCO's format, and the errors for files that are not in it."""

import json

import numpy as np
import pytest
from PIL import Image

from decouplenet.config import DataConfig
from decouplenet.data.annotations.coco import boxes_outside, read_coco
from decouplenet.data.cache import open_pixels
from decouplenet.data.formats import load_image_sets
from decouplenet.data.reporter import Reporter
from decouplenet.errors import InputError


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


def category(name):
    return lambda c: c["categories"][2].update(name=name)


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        (category(None), ": the category with id 18 has no 'name'; write its name"),
        (category(" \n"), ": the category with id 18 has the 'name' \" \\n\"; write its name"),
        (category(18), ": the category with id 18 has the 'name' 18; write its name"),
        (category(float("nan")), ": the category with id 18 has the 'name' NaN; write its name"),
        (category("\ud800"), ": the category with id 18 has the 'name' \"\\ud800\"; write its name"),
        (category(["dog"]), ": the category with id 18 has the 'name' [\"dog\"]; write its name"),
        (lambda c: c["categories"][2].pop("name"), ": the category with id 18 has no 'name'; write its name"),
        (
            lambda c: c["images"][2].update(file_name=None),
            ": the image with id 20 has no 'file_name'; write the name of its file",
        ),
        (
            lambda c: c["images"][2].update(file_name=20),
            ": the image with id 20 has the 'file_name' 20; write the name of its file",
        ),
        (
            lambda c: c["categories"][2].update(id=None),
            ": entry 3 of 'categories' has no 'id'; write a number or a text",
        ),
        (lambda c: c["categories"][2].pop("id"), ": entry 3 of 'categories' has no 'id'; write a number or a text"),
        (
            lambda c: c["images"][2].update(id={"a": 1}),
            ": entry 3 of 'images' has the 'id' {\"a\": 1}; write a number or a text",
        ),
        (
            lambda c: c["annotations"][3].update(image_id=[20]),
            ": entry 4 of 'annotations' has the 'image_id' [20]; write a number or a text",
        ),
        (
            lambda c: c["annotations"][3].update(category_id=float("inf")),
            ": entry 4 of 'annotations' has the 'category_id' Infinity; write a number or a text",
        ),
        (
            lambda c: [annotation.pop("category_id") for annotation in c["annotations"][1:]],
            ": entry 2 of 'annotations' has no 'category_id'; write a number or a text (as for 2 more)",
        ),
        (
            lambda c: c["annotations"][3].update(iscrowd="maybe"),
            ": an annotation of image '20.jpg' has iscrowd 'maybe'; write 0 or 1",
        ),
    ],
)
def test_an_entry_that_cannot_be_used_is_named_and_left_out(content, messages, harm, fault):
    harm(content)
    images, faults, notes = messages(content)
    faults = [text for text in faults if "does not define" not in text]
    assert (faults, notes) == ([fault], [])
    assert images.targets[0].sum() >= 1  # what is right is read


def test_what_refers_to_a_named_fault_is_no_further_fault(content, messages):
    content["categories"][2]["name"] = content["images"][0]["file_name"] = None
    images, faults, _ = messages(content)
    assert ["the image with id 30" in faults[0], "the category with id 18" in faults[1]] == [True, True]
    assert faults[2:] == [" has no label in any image; give a file with 'annotations'"]
    assert images.class_names == ("person", "toothbrush")
    assert [path.name for path in images.paths] == ["10.jpg", "20.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", " is not a COCO instances JSON: it is a list, not an object; it must have images "),
        ("null", " is not a COCO instances JSON: it is null, not an object"),
        ('"text"', " is not a COCO instances JSON: it is a text, not an object"),
        ("Infinity", " is not a COCO instances JSON: it is a number, not an object"),
        (
            "{}",
            " lacks the key 'images'; it must have images (id, file_name), annotations (image_id, category_id) and ",
        ),
        ('{"images": [], "categories": null}', " lacks the key 'categories'; it must have"),
        ('{"images": {"1": {}}, "categories": []}', ": 'images' is an object, not a list; it must have"),
        ('{"images": [], "categories": true}', ": 'categories' is true, not a list"),
        ('{"images": [], "categories": [], "annotations": {"1": {}}}', ": 'annotations' is an object, not a list"),
        ('{"images": [7], "categories": []}', ": entry 1 of 'images' is a number, not an object"),
        (
            '{"images": [], "categories": [], "annotations": [[1]]}',
            ": entry 1 of 'annotations' is a list, not an object",
        ),
        ('{"images": [], "categories": []}', " lists 0 images and 0 classes; at least 1 of each is needed"),
        ("[" * 100_000, " is not a COCO instances JSON (its objects are nested too deeply)"),
        ("{", " is not a COCO instances JSON (Expecting property name"),
        ('{"name": "caf\xe9"}', " is not a COCO instances JSON (it is not text in UTF-8)"),
        ("9" * 5000, " is not a COCO instances JSON ("),
    ],
)
def test_other_content_is_refused_in_one_line(folder, text, message):
    (folder / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as error:
        read_coco(folder / "a.json", folder / "images", crowd=True, key="data.train")
    assert str(error.value).startswith(f"data.train_annotations: '{folder / 'a.json'}'{message}")
    assert str(error.value).isprintable()


def test_names_that_may_be_one_class_are_noted(content, messages):
    content["categories"] += [{"id": 2, "name": "Dog"}, {"id": 3, "name": " traffic\r\nlight "}]
    content["categories"] += [{"id": 4, "name": "None"}, {"id": 5, "name": "NaN"}, {"id": 6, "name": "null"}]
    images, faults, notes = messages(content)
    assert images.class_names == ("person", "Dog", "traffic light", "None", "NaN", "null", "dog", "toothbrush")
    assert faults == []
    assert notes == [
        r": line breaks and outer blanks in 1 name of a category are left out: ' traffic\r\nlight '",
        ": 'None', 'NaN', 'null' are read as classes, but may stand for a missing name",
        ": the classes 'Dog', 'dog' differ only by case or blanks",
    ]


def test_categories_that_differ_only_by_blanks_are_one_class(content, messages):
    content["categories"] += [{"id": 91, "name": " dog"}]
    content["annotations"].append({"image_id": 10, "category_id": 91})
    images, faults, notes = messages(content)
    assert images.class_names == ("person", "dog", "toothbrush")
    assert images.targets[:, 1].tolist() == [0, 1, 1]
    assert faults == []
    assert notes[0] == ": the categories 'dog', ' dog' differ only by blanks, and are one class"
    content["categories"][-1]["name"] = "dog"
    images, faults, _ = messages(content)
    assert faults == [" has 2 categories 'dog'; give each its own name"]


def test_classes_are_in_the_order_of_numbers_that_are_written_as_text(content, messages):
    ids = {90: "10", 1: "9", 18: "b"}
    for entry in content["categories"]:
        entry["id"] = ids[entry["id"]]
    for annotation in content["annotations"]:
        annotation["category_id"] = ids[annotation["category_id"]]
    images, faults, _ = messages(content)
    assert images.class_names == ("person", "toothbrush", "dog")
    assert images.targets.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert faults == []


@pytest.mark.parametrize(
    ("entries", "field", "example"),
    [("images", "image_id", '20 is read as "20"'), ("categories", "category_id", '1 is read as "1"')],
)
def test_ids_that_are_texts_on_one_side_are_joined(content, messages, entries, field, example):
    expected = messages(content)[0].targets.tolist()
    for entry in content[entries]:
        entry["id"] = str(entry["id"])
    images, faults, notes = messages(content)
    assert (images.targets.tolist(), faults) == (expected, [])
    assert notes == [f": no '{field}' is the id of one of the {entries}, but as texts they fit: {example}"]
    for entry in content[entries]:
        entry["id"] = int(entry["id"])
    for annotation in content["annotations"]:
        annotation[field] = str(annotation[field])
    images, faults, (note,) = messages(content)
    assert (images.targets.tolist(), faults) == (expected, [])
    first, _, second = example.partition(" is read as ")
    assert note.endswith(f"{second} is read as {first}")


def test_ids_are_not_joined_where_some_fit_as_they_are_or_texts_are_alike(content, messages):
    content["annotations"][3]["image_id"] = "20"
    _, faults, notes = messages(content)
    assert faults == [': annotation 4 uses image id "20", which the file does not define']
    assert notes == []
    content["annotations"][3]["image_id"] = 20
    content["images"] = [{"id": i, "file_name": "10.jpg"} for i in ("1", 1)]
    for annotation in content["annotations"]:
        annotation["image_id"] = 1.5
    _, faults, notes = messages(content)
    assert len(faults) == 5
    assert notes == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_in_unicode_is_read(folder, content, encoding):
    content["categories"][2]["name"] = "chien é"
    (folder / "a.json").write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
    images = read_coco(folder / "a.json", folder / "images", crowd=True, key="data.train")
    assert images.class_names == ("person", "chien é", "toothbrush")
    assert boxes_outside(folder / "a.json", "data.train") == []


OUTSIDE = "is empty or reaches outside the image (8×8 pixels)"


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ([0, 0, 8, 8], None),
        ([-1.3, 0, 9.3, 8], None),
        ([0, -2, 8, 12], None),
        ([-2.1, 0, 8, 8], OUTSIDE),
        ([0, 0, 8, 10.1], OUTSIDE),
        ([0, 0, 0, 8], OUTSIDE),
        ([0, 0, 8, -1], OUTSIDE),
        ([0, 0, float("inf"), 8], "is not [x, y, width, height]"),
        ([float("nan"), 0, 8, 8], "is not [x, y, width, height]"),
        ([float("-inf"), 0, float("inf"), 8], "is not [x, y, width, height]"),
        ([float("-inf"), 0, 8, 8], "is not [x, y, width, height]"),
        ([10**400, 0, 1, 1], "is not [x, y, width, height]"),
        ([0, 0, 8], "is not [x, y, width, height]"),
        (["0", 0, 8, 8], "is not [x, y, width, height]"),
        ({"x": 0}, "is not [x, y, width, height]"),
        (7, "is not [x, y, width, height]"),
        ([], None),
        (None, None),
    ],
)
def test_boxes_outside_their_image(folder, content, messages, box, problem):
    content["annotations"][0]["bbox"] = box
    _, faults, notes = messages(content)
    assert faults + notes == []
    found = boxes_outside(folder / "a.json", "data.train")
    assert len(found) == (problem is not None)
    assert all(text.endswith(f" of annotation 1 of image '30.jpg' {problem}") for text in found)
    assert all(text.startswith("data.train_annotations: the box ") and len(text) < 250 for text in found)


@pytest.mark.parametrize("size", [None, float("inf"), float("nan"), "8", [8], 10**400])
def test_boxes_of_images_of_unknown_size(folder, content, messages, size):
    content["images"][0]["width"] = size
    content["annotations"][0]["bbox"] = [5, 5, 100, 100]
    content["annotations"][1]["bbox"] = [5, -5, 100, 100]
    _, faults, _ = messages(content)
    assert faults == []
    (text,) = boxes_outside(folder / "a.json", "data.train")
    assert text.endswith(
        "the box [5, -5, 100, 100] of annotation 2 of image '30.jpg' is empty or reaches outside the image"
    )


def test_boxes_are_compared_with_the_upright_image(folder, content, messages):
    content["images"][0]["file_name"] = "images\\30.jpg"
    content["images"][0] |= {"width": 8, "height": 20}
    content["annotations"][0]["bbox"] = [0, 0, 20, 8]
    messages(content)
    assert len(boxes_outside(folder / "a.json", "data.train")) == 1
    turned = {folder / "images" / "30.jpg": (20, 8), folder / "images" / "10.jpg": (1, 1)}
    assert boxes_outside(folder / "a.json", "data.train", turned) == []
    content["annotations"][0]["bbox"] = [0, 0, 8, 20]
    messages(content)
    (text,) = boxes_outside(folder / "a.json", "data.train", turned)
    assert text.endswith("is empty or reaches outside the image (20×8 pixels)")


def test_boxes_of_entries_that_cannot_be_used_are_passed_over(folder, content, messages):
    content["annotations"] += [{"image_id": 30}, 7, {"image_id": None, "category_id": 1, "bbox": [9, 9, 9, 9]}]
    content["images"].append({"id": None})
    messages(content)
    assert boxes_outside(folder / "a.json", "data.train") == []
