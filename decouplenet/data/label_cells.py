"""Labels in a cell of a table, in the usual notations: `cat|dog`, `cat dog`, `['cat', 'dog']`, a list in parquet."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

SEPARATORS = ("|", ";", ",", "\t")
"""Possible separators of labels besides blanks. The first that occurs in any cell is used."""
NO_CLASS = frozenset(("", "nan", "none", "null", "<na>", "n/a", "#n/a"))
"""Texts that programs write for a missing value, in lower case. None of them is a class."""


def find_separator(cells: Iterable[Any]) -> str | None:
    """The separator of the labels in a column; " " stands for any number of blanks. None if a cell is one label.

    A name may have blanks (`traffic light`). Blanks separate only if most of the different cells with blanks look like
    lists: a part is a cell of its own somewhere, or every part is in other cells too.
    """
    texts = {cell.strip() for cell in cells if isinstance(cell, str) and not is_list(cell)}
    for separator in SEPARATORS:
        if any(separator in text for text in texts):
            return separator
    texts = {" ".join(text.split()) for text in texts}
    lists = {text: set(text.split()) for text in texts if " " in text}
    alone = texts - set(lists)
    occurrences = Counter(part for parts in lists.values() for part in parts)
    occurrences.update(alone)
    like_lists = sum(bool(parts & alone) or all(occurrences[part] > 1 for part in parts) for parts in lists.values())
    return " " if like_lists > len(lists) / 2 else None


def labels_in(cell: Any, separator: str | None) -> list[str]:
    """The labels in a cell, stripped of outer blanks.

    Args:
        cell: a text, a list, a number, or a missing value.
        separator: the text between labels; " " for any number of blanks, None if a text is a single label.

    Raises:
        ValueError: the cell holds a mapping, in which a label may be marked as absent.
    """
    labels: Iterable[Any]
    if isinstance(cell, str):
        text = cell.strip()
        if is_list(text):
            labels = _parse_list(text)
        else:
            labels = [text] if separator is None else text.split(separator if separator.strip() else None)
    elif is_missing(cell):
        labels = []
    elif isinstance(cell, dict):
        labels = _of_mapping(cell)
    else:
        labels = cell if hasattr(cell, "__iter__") else [cell]
    texts = (str(label).strip() for label in labels if not is_missing(label))
    return [text for text in texts if text]


def _of_mapping(cell: dict[Any, Any]) -> list[Any]:
    """The labels of a mapping that has only a list of them, as Label Studio writes it.

    Raises:
        ValueError: the mapping is another.
    """
    if len(cell) == 1 and isinstance(value := next(iter(cell.values())), list):
        return value
    raise ValueError(f"{str(cell)[:40]!r} is a mapping; write a list of the labels that are present")


def is_missing(value: Any) -> bool:
    """Whether a value of a table is missing: null, or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_list(cell: Any) -> bool:
    """Whether a cell is the text of a list, tuple or set."""
    return isinstance(cell, str) and cell.strip()[:1] in ("[", "(", "{") and cell.strip()[-1:] in ("]", ")", "}")


def _parse_list(text: str) -> Sequence[Any]:
    """The items of a list as Python or numpy prints it (without commas), also without quotes."""
    quoted = [a or b for a, b in re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", text)]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        inside = text[1:-1]
        return quoted or (re.split("[,;]", inside) if re.search("[,;]", inside) else inside.split())
    if isinstance(value, dict):
        return _of_mapping(value)
    items = list(value) if isinstance(value, (list, tuple, set)) else [value]
    return quoted if len(quoted) > len(items) else items  # Python reads ['cat' 'dog'] as a single string
