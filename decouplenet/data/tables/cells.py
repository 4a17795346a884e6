"""Labels in a cell of a table, in the usual notations: `cat|dog`, `cat dog`, `['cat', 'dog']`, a list in parquet."""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

SEPARATORS = ("|", ";", ",", "\t")
"""Possible separators of labels besides blanks. The first that occurs in any cell is used."""
NO_CLASS = frozenset(("", "nan", "none", "null", "<na>", "n/a", "#n/a"))
"""Texts that programs write for a missing value, in lower case. None of them is a class."""
NAME_KEYS = ("name", "label", "displayName", "display_name", "class", "category", "title")
"""Keys of the name in an object that stands for a label."""
CONTAINER = re.compile(r"(?:frozenset|set|array|tensor|np\.array)\((.*)\)", re.DOTALL)
"""A list as Python, numpy or torch prints it with its type."""
NUMPY_NUMBER = re.compile(r"np\.\w+\(([^()]*)\)")
QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
PAIRS = {"[": "]", "{": "}", "(": ")"}


def find_separator(cells: Iterable[Any]) -> str | None:
    """The separator of the labels in a column; " " stands for any number of blanks. None if a cell is one label.

    A name may have blanks (`traffic light`). Blanks separate only if most of the different cells with blanks look like
    lists: a part is a cell of its own somewhere, or every part is in other cells too. Lists without quotes
    (`[cat, dog]`) are separated like other texts.
    """
    texts = {bare for cell in cells if isinstance(cell, str) and (bare := bare_text(cell)) is not None}
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
        ValueError: the cell holds something else than labels, such as a mapping in which a label may be absent.
    """
    labels: Iterable[Any]
    if isinstance(cell, str):
        text = bare_text(cell)
        if text is None:
            labels = _items(cell) or []
        else:
            labels = [text] if separator is None else text.split(None if separator == " " else separator)
    elif is_missing(cell):
        labels = []
    elif isinstance(cell, dict):
        labels = _of_mapping(cell)
    else:
        labels = cell if hasattr(cell, "__iter__") else [cell]
    texts = (_name_of(label) for label in labels if not is_missing(label))
    return [text for text in texts if text]


def is_missing(value: Any) -> bool:
    """Whether a value of a table is missing: null, or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def is_list(cell: Any) -> bool:
    """Whether a cell is the text of a list whose items can be told apart by quotes or as numbers."""
    return isinstance(cell, str) and bare_text(cell) is None


def bare_text(cell: str) -> str | None:
    """The text of a cell that is no list with quotes or numbers, without the brackets of a list; None for a list."""
    try:
        if _items(cell) is not None:
            return None
    except ValueError:  # which `labels_in` reports
        return None
    text = cell.strip()
    inside = text[1:-1] if text[:1] in "[{" and text[-1:] == PAIRS.get(text[:1]) else text
    return inside.strip() if _is_flat(inside) else text


def _is_flat(text: str) -> bool:
    return not any(sign in text for sign in "[]{}")


def _items(cell: str) -> list[Any] | None:
    """The items of a list in a text: as JSON, Python or numpy write it. None if the text is no such list.

    Raises:
        ValueError: the text is a mapping, or a list that numpy has shortened.
    """
    text = cell.strip()
    if not text.endswith(("]", "}", ")")):
        return None
    if container := CONTAINER.fullmatch(text):
        text = re.sub(r",\s*dtype=.*$", "", container[1]).strip()
        if not text:
            return []
    text = NUMPY_NUMBER.sub(r"\1", text)
    if text[:1] not in PAIRS or text[-1:] != PAIRS[text[:1]]:
        return None
    inside = text[1:-1].strip()
    if not inside:
        return []
    if "..." in re.split(r"[\s,]+", inside):
        raise ValueError(f"{text[:40]!r} is a list that was shortened; write it in full")
    if text[0] != "(" and QUOTED.sub("", inside).strip() == "":  # numpy writes ['cat' 'dog'] without commas
        return [a or b for a, b in QUOTED.findall(inside)]
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):
            return _of_mapping(value)
        if isinstance(value, set):  # its order differs from process to process
            return sorted(value, key=str)
        return list(value) if isinstance(value, (list, tuple)) else [value]
    if text[0] != "(" and re.fullmatch(r"[-+\d.eE\s,]+", inside):  # numpy writes [1. 0.] without commas
        return re.split(r"[\s,]+", inside)
    parts = [part.strip() for part in inside.split(",")]
    if text[0] != "(" and any(QUOTED.fullmatch(part) for part in parts):  # Postgres quotes only names with blanks
        return [part[1:-1] if QUOTED.fullmatch(part) else part for part in parts]
    return None


def _name_of(label: Any) -> str:
    """An item of a list as the name of a class, stripped of outer blanks.

    Raises:
        ValueError: the item is a list, or an object without a name.
    """
    if isinstance(label, dict):
        name = next((label[key] for key in NAME_KEYS if isinstance(label.get(key), (str, int))), None)
        if name is None:
            raise ValueError(f"{str(label)[:40]!r} is an object without a name; write a list of names")
        return str(name).strip()
    if isinstance(label, (list, tuple, set)):
        raise ValueError(f"{str(label)[:40]!r} is a list inside of a list; write a list of names")
    return str(label).strip()


def _of_mapping(cell: dict[Any, Any]) -> list[Any]:
    """The labels of a mapping that has only a list of them, as Label Studio writes it.

    Raises:
        ValueError: the mapping is another.
    """
    if len(cell) == 1 and isinstance(value := next(iter(cell.values())), list):
        return value
    raise ValueError(f"{str(cell)[:40]!r} is a mapping; write a list of the labels that are present")


def example_of(cells: Sequence[Any], separator: str | None, several: bool) -> str | None:
    """A cell without quotes that has several labels, or else one with a single label of several words."""
    for cell in cells:
        text = bare_text(cell) if isinstance(cell, str) else None
        if text and (len(labels_in(cell, separator)) > 1 if several else len(text.split()) > 1):
            return str(cell).strip()
    return None
