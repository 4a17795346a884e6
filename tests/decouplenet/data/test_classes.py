"""The classes of a data set: data.classes as a list or file, and matching by name across splits."""

import json

import pytest

from decouplenet.config import DataConfig
from decouplenet.data.class_file import read_classes
from decouplenet.data.formats import load_image_sets
from decouplenet.data.reporter import Reporter
from decouplenet.errors import InputError

NUMBERED = {"0": "cat", "1": "dog"}
FROM_ONE = {"1": "cat", "2": "traffic light"}


@pytest.mark.parametrize(
    ("content", "names", "codes"),
    [
        ("cat\ntraffic light\n", ("cat", "traffic light"), {}),
        ("name\ncat\ndog\n", ("cat", "dog"), {}),
        ("# my classes\ncat\n\ndog\n", ("cat", "dog"), {}),
        ('"cat"\n"land, with trees"\n', ("cat", "land, with trees"), {}),
        ("land, with trees\nsea, or lake\ncity\n", ("land, with trees", "sea, or lake", "city"), {}),
        ("7 up\nred cat\n", ("7 up", "red cat"), {}),
        ('["cat", "traffic light"]', ("cat", "traffic light"), {}),
        ('{"0": "cat", "1": "dog"}', ("cat", "dog"), NUMBERED),
        ('{\n  "dog": 1,\n  "cat": 0\n}', ("cat", "dog"), NUMBERED),
        ('[{"id": 2, "name": "traffic light"}, {"id": 1, "name": "cat"}]', ("cat", "traffic light"), FROM_ONE),
        ('{"names": ["cat", "dog"], "nc": 2}', ("cat", "dog"), {}),
        ("cat,0\ndog,1\n", ("cat", "dog"), NUMBERED),
        ("1,dog\n0,cat\n", ("cat", "dog"), NUMBERED),
        ("class_id;class_name\n0;cat\n1;dog\n", ("cat", "dog"), NUMBERED),
        (
            'attribute_id,attribute_name\n0,cat\n1,"men, seated"\n',
            ("cat", "men, seated"),
            {"0": "cat", "1": "men, seated"},
        ),
        ("0 cat\n1 dog\n", ("cat", "dog"), NUMBERED),
        ("2: traffic light\n1: cat\n", ("cat", "traffic light"), FROM_ONE),
        ("/m/1,Cat\n/m/2,Dog\n", ("Cat", "Dog"), {"/m/1": "Cat", "/m/2": "Dog"}),
        ("LabelName,DisplayName\n/m/1,Cat\n", ("Cat",), {"/m/1": "Cat"}),
    ],
)
def test_a_file_of_classes(tmp_path, content, names, codes):
    (tmp_path / "names.txt").write_text(content)
    classes = read_classes(str(tmp_path / "names.txt"))
    assert (classes.names, dict(classes.codes)) == (names, codes)


@pytest.mark.parametrize("content", ['item {\n  id: 1\n  name: "cat"\n}\n', '{"cat": {"id": 1}}', '[["cat"]]', "{1: ["])
def test_a_file_in_another_form_is_refused(tmp_path, content):
    (tmp_path / "names.txt").write_text(content)
    with pytest.raises(InputError, match=r"names\.txt' is .*; give one name per line, a number or code and a name"):
        read_classes(str(tmp_path / "names.txt"))


def test_a_yaml_file_of_classes(tmp_path):
    (tmp_path / "data.yaml").write_text("path: x\nnames:\n  0: cat\n  1: dog\n")
    assert read_classes(str(tmp_path / "data.yaml")).names == ("cat", "dog")
    (tmp_path / "list.yaml").write_text("- cat\n- traffic light\n")
    assert read_classes(str(tmp_path / "list.yaml")).names == ("cat", "traffic light")


def test_the_numbers_of_the_file_are_those_of_the_labels(read_csv, tmp_path):
    (tmp_path / "names.txt").write_text("1,cat\n2,dog\n4,traffic light\n7,sea\n")
    text = "path,labels\n1.jpg,1|4\n2.jpg,2\n"
    read = read_csv(text, classes=str(tmp_path / "names.txt"))
    assert read.labels == {"1": ["cat", "traffic light"], "2": ["dog"]}
    with pytest.raises(InputError, match="the label 3 is not one of the numbers of data.classes"):
        read_csv("path,labels\n1.jpg,1|3\n2.jpg,2\n", classes=str(tmp_path / "names.txt"))


def test_classes_that_no_label_has_are_refused(read_csv):
    read = read_csv("path,cat,dog\n1.jpg,1,0\n2.jpg,0,1\n", classes=["Katze", "Hund"])
    assert any("no label is left in any training image" in fault for fault in read.faults)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["cat", "cat"], "data.classes has 'cat' 2 times"),
        ([], "data.classes has no class"),
        (["cat", " "], "has an empty name"),
        ("none.txt", "data.classes: 'none.txt' cannot be read"),
    ],
)
def test_wrong_classes_are_refused(value, message):
    with pytest.raises(InputError, match=message):
        read_classes(value)


def test_codes_of_labels_become_names(read_csv, tmp_path):
    (tmp_path / "names.csv").write_text("/m/1,Cat\n/m/2,Dog\n")
    read = read_csv("path,labels\n1.jpg,/m/2\n2.jpg,/m/1\n", classes=str(tmp_path / "names.csv"))
    assert (read.train.class_names, read.labels) == (("Cat", "Dog"), {"1": ["Dog"], "2": ["Cat"]})


def test_the_given_classes_fix_set_and_order(read_csv):
    read = read_csv("path,labels\n1.jpg,cat|dog\n2.jpg,cow\n", classes=["dog", "bird", "cat"])
    assert read.train.class_names == ("dog", "bird", "cat")
    assert read.labels == {"1": ["dog", "cat"], "2": []}
    assert read.has_note("labels outside the classes of data.classes are left out: 'cow' (1 image)")
    assert read.faults == []


def test_a_label_that_differs_from_a_class_by_case_is_a_fault(read_csv):
    read = read_csv("path,labels\n1.jpg,cat|dog\n2.jpg,Traffic_Light\n", classes=["dog", "cat", "traffic light"])
    assert "'Traffic_Light' (1 image) is not one of the classes" in read.faults[0]


@pytest.fixture
def two_splits(tmp_path, photo):
    """Write two COCO files and read them. Categories are given by id; an image has one category."""

    def read(train, val, val_labels=None):
        paths = {}
        for split, categories, labels in (("train", train, list(train)), ("val", val, val_labels or list(val))):
            images, annotations = [], []
            for i, category in enumerate(labels, start=1):
                photo(tmp_path / f"{split}{i}.jpg", hash((split, i)) % 1000)
                images.append({"id": i, "file_name": f"{split}{i}.jpg"})
                annotations.append({"id": i, "image_id": i, "category_id": category})
            content = {
                "images": images,
                "annotations": annotations,
                "categories": [{"id": number, "name": name} for number, name in categories.items()],
            }
            paths[split] = tmp_path / f"{split}.json"
            paths[split].write_text(json.dumps(content))
        faults, notes = [], []
        config = DataConfig(format="coco", train_images=str(tmp_path))
        config.train_annotations, config.val_annotations = str(paths["train"]), str(paths["val"])
        sets = load_image_sets(config, Reporter(faults.append, notes.append))
        return *sets, faults, notes

    return read


def names_of(images):
    return [images.class_names[row.nonzero()[0][0]] for row in images.targets if row.any()]


def test_other_ids_and_another_order_are_matched_by_name(two_splits):
    train, val, faults, notes = two_splits({1: "cat", 2: "dog"}, {1: "dog", 5: "cat"})
    assert (train.class_names, val.class_names, faults) == (("cat", "dog"), ("cat", "dog"), [])
    assert names_of(val) == ["dog", "cat"]
    assert any("val: its classes are in another order than those of train, and are matched by name" in n for n in notes)


def test_a_rare_class_may_be_missing_in_val(two_splits):
    train, val, faults, notes = two_splits({1: "cat", 2: "dog", 3: "yak"}, {1: "cat", 3: "dog"}, [1, 3, 3])
    assert val.class_names == train.class_names
    assert (names_of(val), faults) == (["cat", "dog", "dog"], [])
    assert any("val: its labels lack classes of train: yak" in note for note in notes)


def test_a_class_that_train_lacks_is_a_fault(two_splits):
    _, val, faults, _ = two_splits({1: "cat", 2: "dog"}, {1: "cat", 2: "dgo"})
    assert len(faults) == 1
    assert "data.val_annotations: 'dgo' (1 image) is not among the classes of train (did you mean 'dog'?)" in faults[0]
    assert val.class_names == ("cat", "dog")
