"""Values that must be of a type as they are, and types in words."""

from pathlib import Path
from typing import Literal, Optional

import pytest

from decouplenet.typed_values import check_type, describe


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 3),
        (float, 3),
        (float, 0.5),
        (bool, False),
        (str, ""),
        (int | None, None),
        (bool | str, "weights.pth"),
        (Literal["none", "arch1"], "arch1"),
        (list[str], ["a", "b"]),
    ],
)
def test_a_value_of_its_type_is_accepted(kind, value):
    check_type(kind, value)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (int, True, "True is not int"),
        (int, 3.0, "3.0 is not int"),
        (int, "3", "'3' is not int"),
        (int | None, "null", r"'null' is not int \| None"),
        (float, "1e-3", "'1e-3' is not float"),
        (float, True, "True is not float"),
        (bool, 1, "1 is not bool"),
        (bool, "true", "'true' is not bool"),
        (str, 3, "3 is not str"),
        (str, None, "None is not str"),
        (Literal["none", "arch1"], "arch2", "'arch2' is not one of 'none', 'arch1'"),
        (list[str], "ab", r"'ab' is not list\[str\]"),
    ],
)
def test_a_value_of_another_type_is_refused_and_never_converted(kind, value, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_type(kind, value)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "int"),
        (int | float, "int | float"),
        (str | None, "str | None"),
        (Path | None, "Path | None"),
        (Optional[Literal["none", 3]], "one of 'none', 3 | None"),  # noqa: UP045 - another class than X | None
        (Literal["none", 3], "one of 'none', 3"),
        (dict[str, int], "mapping"),
    ],
)
def test_a_type_in_words(kind, words):
    assert describe(kind) == words
