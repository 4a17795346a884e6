"""Flags: cells that say for one class whether an image has it, in a column per class or in a vector per image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.tables.cells import NO_CLASS, is_list, is_missing, labels_in

PRESENT = frozenset(("1", "true", "yes", "y", "t"))
ABSENT = frozenset(("0", "false", "no", "n", "f"))
MINUS = "-1"
"""The class is absent where no cell is 0 (CelebA), else it is not known (CheXpert)."""
UNKNOWN = frozenset(("u", "?", "unknown", "uncertain"))
WORDS = PRESENT | ABSENT | UNKNOWN | NO_CLASS | {MINUS}
"""All texts of a flag, in lower case."""
NUMBERS = frozenset(("0", "1", MINUS, "true", "false"))
"""Flags that must not become the name of a class."""
STATES = ("absent", "present", "unknown")
VECTOR = re.compile(r"-?[01](\.0*)?([\s,;|]+-?[01](\.0*)?)+")
"""A text of several flags without brackets."""


class FlagMeaning(NamedTuple):
    """What the flags of a table mean where several meanings are usual."""

    minus: str = "unknown"
    """What -1 means: absent or unknown."""
    blank: str = "absent"
    """What an empty cell means: absent or unknown."""


def flag_word(cell: Any) -> str:
    """A cell in the spelling of the sets above: `1.0`, True and 1 are all `1` or `true`."""
    if is_missing(cell):
        return ""
    text = str(cell).strip().lower()
    if re.fullmatch(r"[-+]?\d+\.0*", text):
        text = text.partition(".")[0]
    return "" if text in NO_CLASS else MINUS if text == MINUS else text.removeprefix("+")


def are_flags(cells: Sequence[Any]) -> bool:
    """Whether all cells are flags, and at least one says present or absent."""
    words = set(map(flag_word, distinct(cells)))
    return words <= WORDS and bool(words & (PRESENT | ABSENT | {MINUS}))


def has_minus(columns: Sequence[Sequence[Any]]) -> bool:
    """Whether a flag is -1."""
    return any(flag_word(cell) == MINUS for column in columns for cell in distinct(column))


def meaning_of(columns: Sequence[Sequence[Any]]) -> FlagMeaning:
    """The meaning of -1 and of empty cells in columns of flags.

    A table that marks absent classes with 0 has no other mark for them, so -1 and empty cells are unknown. Without a
    0, -1 marks the absent classes. Without any mark for absent classes, the empty cells are absent.
    """
    words = {flag_word(cell) for column in columns for cell in distinct(column)}
    zeros = bool(words & ABSENT)
    return FlagMeaning(minus="unknown" if zeros else "absent", blank="unknown" if zeros or MINUS in words else "absent")


def read_flags(column: Sequence[Any], meaning: FlagMeaning) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of N flags say present, and which say nothing.

    Raises:
        ValueError: a cell is no flag; the message shows it.
    """
    states = {cell: STATES.index(_state(flag_word(cell), meaning)) for cell in distinct(column)}
    codes = np.fromiter(map(states.__getitem__, column), np.int8, len(column))
    return codes == STATES.index("present"), codes == STATES.index("unknown")


def distinct(cells: Sequence[Any]) -> set[Any]:
    """The different cells of a column; lists, which are no flags, as text."""
    try:
        return set(cells)
    except TypeError:
        return set(map(str, cells))


def _state(word: str, meaning: FlagMeaning) -> str:
    if word == "":
        return meaning.blank
    if word == MINUS:
        return meaning.minus
    for words, state in ((PRESENT, "present"), (ABSENT, "absent"), (UNKNOWN, "unknown")):
        if word in words:
            return state
    raise ValueError(f"{word!r} is no flag; write 1 for a class that is present, 0 for one that is absent")


def vectors_in(cells: Sequence[Any]) -> list[list[str]] | None:
    """The flags of each cell as words, if every cell that is not empty is a vector of the same number of them.

    Lists of class numbers look alike where there are few classes, but no list names a class twice: with three or more
    flags, some flag is there twice.

    Args:
        cells: N cells.

    Returns:
        N vectors of C words, at least 2; those of empty cells are empty texts. None if the cells are no vectors.
    """
    vectors = [None if _is_empty(cell) else _vector(cell) for cell in cells]
    lengths = {len(vector) for vector in vectors if vector is not None}
    if len(lengths) != 1 or min(lengths) < 2:
        return None
    return [[""] * min(lengths) if vector is None else vector for vector in vectors]


def _is_empty(cell: Any) -> bool:
    return is_missing(cell) or (isinstance(cell, str) and not cell.strip())


def _vector(cell: Any) -> list[str]:
    """The flags of a vector as words; empty if a cell is none."""
    if isinstance(cell, str) and not is_list(cell):
        text = cell.strip()
        return [flag_word(part) for part in re.split(r"[\s,;|]+", text)] if VECTOR.fullmatch(text) else []
    if not hasattr(cell, "__iter__"):
        return []
    try:
        words = list(map(flag_word, labels_in(cell, None)))
    except ValueError:
        return []
    return words if set(words) <= NUMBERS else []
