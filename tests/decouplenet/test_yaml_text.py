"""YAML in both directions: what is written is read back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decouplenet.yaml_text import dump_yaml, parse_value, parse_yaml

TEXTS = st.from_regex(r"[-+]?[0-9.]{0,3}[eE]?[-+]?[0-9]{0,2}", fullmatch=True) | st.text(
    st.characters(blacklist_categories=("Cs", "Cc"))
)


@given(text=TEXTS)
def test_a_text_is_read_back_as_a_text(text):
    assert parse_yaml(dump_yaml({"key": text}).encode(), "x") == {"key": text}


@given(number=st.floats(allow_nan=False) | st.integers() | st.booleans() | st.none())
def test_a_number_is_read_back_as_a_number(number):
    read = parse_yaml(dump_yaml({"key": number}).encode(), "x")["key"]
    assert (type(read), read) == (type(number), number)


@pytest.mark.parametrize("text", ["!!bool x", "!!int y", "[", "a: b: c", " "])
def test_a_flags_text_that_is_not_yaml_is_the_text(text):
    assert parse_value(text) == text
