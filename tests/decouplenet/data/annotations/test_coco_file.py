"""What other programs write into COCO's JSON: read right, or named."""

import json

import pytest

from decouplenet.data.annotations.coco import boxes_outside, read_coco
from decouplenet.errors import InputError


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
