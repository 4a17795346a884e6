"""Labels in a cell, in the usual notations."""

import csv
import gzip
import json

import pytest

from decouplenet.data.label_cells import find_separator, labels_in


@pytest.mark.parametrize(
    ("cell", "separator", "labels"),
    [
        ("cat|dog", "|", ["cat", "dog"]),
        ("  cat ; dog;", ";", ["cat", "dog"]),
        ("cat  dog", " ", ["cat", "dog"]),
        ("traffic light", "|", ["traffic light"]),
        ("['cat', 'traffic light']", "|", ["cat", "traffic light"]),
        ("['cat' 'dog']", " ", ["cat", "dog"]),
        ("('cat')", " ", ["cat"]),
        ("[cat, traffic light]", " ", ["cat", "traffic light"]),
        ("[cat dog]", " ", ["cat", "dog"]),
        ('["driver\'s licence"]', " ", ["driver's licence"]),
        ("[]", " ", []),
        ("", " ", []),
        (None, " ", []),
        (float("nan"), " ", []),
        (["cat", None, float("nan")], " ", ["cat"]),
        (3, " ", ["3"]),
    ],
)
def test_cells(cell, separator, labels):
    assert labels_in(cell, separator) == labels


def test_a_mapping_is_refused():
    with pytest.raises(ValueError, match="is a mapping"):
        labels_in("{'cat': 1, 'dog': 0}", " ")


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["cat", "traffic light|dog"], "|"),
        (["cat; dog", "a,b"], ";"),
        (["['cat', 'dog']", None, "cat"], None),
        ([], None),
        (["cat dog", "dog"], " "),
        (["sky water", "water sun", "sun sky"], " "),
        (["traffic light", "stop sign"], None),
        (["hot dog", "dog", "teddy bear", "traffic light", "fire hydrant"], None),
        (["dining table", "coffee table", "pool table"], None),
        (["cat"], None),
    ],
)
def test_the_separator_of_a_column(cells, separator):
    assert find_separator(cells) == separator


def test_the_real_labels_of_nuswide_are_separated_by_blanks(shared):
    with gzip.open(shared / "nuswide" / "test_labels.csv.gz", "rt") as stream:
        cells = [row["labels"] for row in csv.DictReader(stream)]
    assert find_separator(cells) == " "


def test_the_real_names_of_coco_are_single_labels(shared):
    content = json.loads((shared / "coco-mini" / "annotations" / "instances_val.json").read_text())
    assert find_separator([category["name"] for category in content["categories"]]) is None
