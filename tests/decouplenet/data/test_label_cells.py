"""Labels in a cell, in the usual notations."""

import pytest

from decouplenet.data.label_cells import find_separator, flag_text, labels_in


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


def test_the_separator_of_a_column():
    assert find_separator(["cat", "traffic light|dog"]) == "|"
    assert find_separator(["['cat', 'dog']", None, "cat dog"]) == " "
    assert find_separator([]) == " "


def test_flags():
    cells = (1, "1.0", True, None, float("nan"), " 0 ")
    assert [flag_text(cell) for cell in cells] == ["1", "1.0", "true", "", "", "0"]
