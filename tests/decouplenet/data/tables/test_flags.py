"""Flags in columns and in vectors: what is present, absent or unknown."""

import numpy as np
import pytest

from decouplenet.data.tables.flags import FlagMeaning, are_flags, flag_word, meaning_of, read_flags, vectors_in


def test_spellings_of_a_flag():
    cells = (1, "1.0", 1.0, True, None, float("nan"), " 0 ", "-1.0", "NaN", "+1", "U")
    assert [flag_word(cell) for cell in cells] == ["1", "1", "1", "true", "", "", "0", "-1", "", "1", "u"]


@pytest.mark.parametrize(
    ("cells", "flags"),
    [
        ([0, 1], True),
        (["yes", "no", ""], True),
        ([True, None], True),
        ([-1, 1], True),
        (["u", "0"], True),
        ([0, 2], False),
        (["cat", "1"], False),
        (["", None], False),
        ([], False),
    ],
)
def test_which_columns_are_flags(cells, flags):
    assert are_flags(cells) is flags


@pytest.mark.parametrize(
    ("columns", "meaning"),
    [
        ([[1, 0], [-1, ""]], FlagMeaning("unknown", "unknown")),
        ([[1, -1], [-1, ""]], FlagMeaning("absent", "unknown")),
        ([[1, ""], [None, 1]], FlagMeaning("absent", "absent")),
        ([[1, 0], [0, 1]], FlagMeaning("unknown", "unknown")),
    ],
)
def test_minus_and_blank_mean_what_the_other_cells_leave(columns, meaning):
    assert meaning_of(columns) == meaning


def test_present_and_unknown_cells():
    present, unknown = read_flags(["1", "0", "-1", "", "u", float("nan")], FlagMeaning("unknown", "unknown"))
    assert present.tolist() == [True, False, False, False, False, False]
    assert unknown.tolist() == [False, False, True, True, True, True]
    present, unknown = read_flags([1, -1, None], FlagMeaning("absent", "absent"))
    assert (present.tolist(), unknown.any()) == ([True, False, False], False)
    with pytest.raises(ValueError, match="'2' is no flag; write 1"):
        read_flags([1, 2], FlagMeaning())


@pytest.mark.parametrize(
    ("cells", "length"),
    [
        (["[1, 0, 0]", "[0, 1, 1]", ""], 3),
        ([[1.0, 0.0], [0.0, 1.0], None], 2),
        (["1 0 0", "0  1  0"], 3),
        (["1,0", "0;1"], 2),
        (["[1. 0. 1.]"], 3),
        (["[True, False]"], 2),
        ([np.array([0, 1, 0])], 3),
        (["[0]", "[1]"], 0),
        (["[0, 1]", "[1]"], 0),
        (["[0, 2, 1]"], 0),
        (["['0', 'cat']"], 0),
        (["1"], 0),
        (["[]", "[1, 0]"], 0),
        (["cat"], 0),
        ([], 0),
    ],
)
def test_which_columns_hold_vectors(cells, length):
    vectors = vectors_in(cells)
    assert (len(vectors[0]) if vectors else 0) == length
