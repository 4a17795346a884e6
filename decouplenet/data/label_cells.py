"""Labels as people write them in a cell of a table: `cat|dog`, `cat dog`, `['cat', 'dog']`, a list in parquet."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

SEPARATORS = ("|", ";", ",", "\t", " ")
"""What may stand between labels, the first that any cell has; a blank is any number of blanks."""
YES, NO = ("1", "1.0", "true"), ("0", "0.0", "false", "")
"""Cells of a column a class."""


def find_separator(cells: Iterable[Any]) -> str:
    """What stands between the labels of a column."""
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and not _is_list(cell)]
    return next((one for one in SEPARATORS if any(one in text for text in texts)), " ")


def labels_in(cell: Any, separator: str) -> list[str]:
    """The labels in a cell.

    Raises:
        ValueError: it is a mapping, which may say of a label that it is not there.
    """
    if isinstance(cell, str):
        text = cell.strip()
        found = _listed(text) if _is_list(text) else text.split(separator if separator.strip() else None)
    elif _nothing(cell):
        found = []
    else:
        found = [str(one) for one in cell if not _nothing(one)] if hasattr(cell, "__iter__") else [str(cell)]
    return [label.strip() for label in found if label.strip()]


def flag(cell: Any) -> str:
    """A cell of a column a class, as it stands in `YES` or `NO`."""
    return "" if _nothing(cell) else str(cell).strip().lower()


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_list(text: str) -> bool:
    return text.strip()[:1] in ("[", "(", "{") and text.strip()[-1:] in ("]", ")", "}")


def _listed(text: str) -> Sequence[str]:
    """The labels of a list in Python's form, also as numpy prints it, without commas, or without quotes."""
    quoted = [a or b for a, b in re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", text)]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        inside = text[1:-1]
        return quoted or (re.split("[,;]", inside) if re.search("[,;]", inside) else inside.split())
    if isinstance(value, dict):
        raise ValueError(f"{text[:40]!r} is a mapping; a list of the labels that are there is needed")
    labels = [str(label) for label in value if not _nothing(label)] if not isinstance(value, str) else [value]
    return quoted if len(quoted) > len(labels) else labels  # Python takes ['cat' 'dog'] for one text
