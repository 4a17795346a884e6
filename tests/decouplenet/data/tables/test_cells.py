"""Labels in a cell, in the usual notations."""

import csv
import gzip
import json

import pytest

from decouplenet.data.tables.cells import find_separator, labels_in


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
        ("[cat, traffic light]", ",", ["cat", "traffic light"]),
        ("[cat dog]", " ", ["cat", "dog"]),
        ("[Inland waters]", ",", ["Inland waters"]),
        ('[cat, "traffic light"]', ",", ["cat", "traffic light"]),
        ('{cat,dog,"traffic light"}', ",", ["cat", "dog", "traffic light"]),
        ("{}", None, []),
        ("set()", None, []),
        ("frozenset()", None, []),
        ("{'cat', 'dog'}", None, ["cat", "dog"]),
        ("frozenset({'cat'})", None, ["cat"]),
        ("array(['dog'], dtype=object)", None, ["dog"]),
        ("[np.int64(0), np.int64(2)]", None, ["0", "2"]),
        ("[dog's toy, women's bag]", ",", ["dog's toy", "women's bag"]),
        ("(cat) dog (owl)", None, ["(cat) dog (owl)"]),
        ("(o)_(o)", " ", ["(o)_(o)"]),
        ("traffic light\tsea", "\t", ["traffic light", "sea"]),
        ('[{"name": "cat"}, {"name": "dog"}]', None, ["cat", "dog"]),
        ([{"label": "cat", "confidence": 0.9}], None, ["cat"]),
        ({"choices": ["cat"]}, None, ["cat"]),
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


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("{'cat': 1, 'dog': 0}", "is a mapping"),
        ({"cat": True}, "is a mapping"),
        ("[['cat'], ['dog']]", "is a list inside of a list"),
        ([["cat"]], "is a list inside of a list"),
        ("[1 0 0 ... 1 0 1]", "is a list that was shortened"),
        ("['cat' 'dog' ... 'sea']", "is a list that was shortened"),
        ([{"score": 1}], "is an object without a name"),
    ],
)
def test_a_cell_that_is_no_list_of_labels_is_refused(cell, message):
    with pytest.raises(ValueError, match=message):
        labels_in(cell, " ")


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
        (["[Inland waters, Pastures]", "[Inland waters]"], ","),
        (["[cat dog]", "[dog]"], " "),
        (["{'cat': 1}"], None),
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
