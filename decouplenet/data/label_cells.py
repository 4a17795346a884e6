"""Labels in a cell of a table, in the usual notations: `cat|dog`, `cat dog`, `['cat', 'dog']`, a list in parquet."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

SEPARATORS = ("|", ";", ",", "\t", " ")
"""Possible separators of labels. The first that occurs in any cell is used; " " stands for any number of blanks."""
YES, NO = ("1", "1.0", "true"), ("0", "0.0", "false", "")
"""The possible cells of a column that stands for one class."""


def find_separator(cells: Iterable[Any]) -> str:
    """The separator of the labels in a column."""
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and not _is_list(cell)]
    return next((separator for separator in SEPARATORS if any(separator in text for text in texts)), " ")


def labels_in(cell: Any, separator: str) -> list[str]:
    """The labels in a cell.

    Raises:
        ValueError: the cell holds a mapping, in which a label may be marked as absent.
    """
    labels: Sequence[str]
    if isinstance(cell, str):
        text = cell.strip()
        labels = _parse_list(text) if _is_list(text) else text.split(separator if separator.strip() else None)
    elif _is_empty(cell):
        labels = []
    else:
        labels = [str(value) for value in cell if not _is_empty(value)] if hasattr(cell, "__iter__") else [str(cell)]
    return [label.strip() for label in labels if label.strip()]


def flag_text(cell: Any) -> str:
    """A cell of a column that stands for one class, in the spelling of `YES` and `NO`."""
    return "" if _is_empty(cell) else str(cell).strip().lower()


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_list(text: str) -> bool:
    return text.strip()[:1] in ("[", "(", "{") and text.strip()[-1:] in ("]", ")", "}")


def _parse_list(text: str) -> Sequence[str]:
    """The labels of a list as Python or numpy prints it (without commas), also without quotes."""
    quoted = [a or b for a, b in re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", text)]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        inside = text[1:-1]
        return quoted or (re.split("[,;]", inside) if re.search("[,;]", inside) else inside.split())
    if isinstance(value, dict):
        raise ValueError(f"{text[:40]!r} is a mapping; write a list of the labels that are present")
    labels = [str(label) for label in value if not _is_empty(label)] if not isinstance(value, str) else [value]
    return quoted if len(quoted) > len(labels) else labels  # Python reads ['cat' 'dog'] as a single string
