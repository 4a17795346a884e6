"""Flags that are given in Python, and flags that take the names of extensions."""

from dataclasses import dataclass

import pytest

from decouplenet.command_line import CommandParser, check_flags, flag
from decouplenet.errors import InputError
from decouplenet.registration import register_head


@dataclass(frozen=True, kw_only=True)
class Flags:
    trials: int | None = flag(None, minimum=1)
    """A number that may be left out."""
    budget: float = flag(2.5, minimum=0.5)
    """A number."""
    name: str | None = flag(None)
    """A text."""
    dry_run: bool = flag(False)
    """A switch."""
    files: list[str] = flag([], positional=True)
    """What it works on."""


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"trials": 1, "budget": 0.5},
        {"trials": None, "budget": 3},
        {"name": "007", "dry_run": True, "files": ["a", "b"]},
    ],
)
def test_flags_with_valid_values_stay_as_they_are(given):
    flags = Flags(**given)
    assert check_flags(flags) is flags


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": "4"}, r"trials: '4' is not int \| None"),
        ({"trials": 4.0}, r"trials: 4.0 is not int \| None"),
        ({"trials": True}, r"trials: True is not int \| None"),
        ({"trials": 0}, "trials: 0 is out of range; it must be at least 1"),
        ({"budget": None}, "budget: None is not float"),
        ({"budget": 0.25}, "budget: 0.25 is out of range; it must be at least 0.5"),
        ({"name": 7}, r"name: 7 is not str \| None"),
        ({"dry_run": "no"}, "dry_run: 'no' is not bool"),
        ({"files": "a"}, r"files: 'a' is not list\[str\]"),
        ({"name": 7, "trials": 0}, "trials: 0 is out of range; it must be at least 1"),
    ],
)
def test_the_first_flag_with_a_wrong_value_is_named(given, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        check_flags(Flags(**given))


def test_a_flag_takes_the_names_that_are_registered_when_the_command_starts(registries):
    arguments = ["--model.head", "mine"]
    with pytest.raises(
        InputError, match="model.head: mine is not one of 'decouplenet', .* must be registered, or installed$"
    ):
        CommandParser("test", "A command.", Flags).given(arguments)
    with pytest.raises(InputError, match="model.attention: mine is not one of 'none', 'arch1', 'arch2', 'joint'$"):
        CommandParser("test", "A command.", Flags).given(["--model.attention", "mine"])
    register_head("mine")(print)
    assert CommandParser("test", "A command.", Flags).given(arguments).keys == {"model.head": "mine"}
    line = CommandParser("test", "A command.", Flags).given(["--model", "{head: mine}"])
    assert line.keys == {"model.head": "mine"}
