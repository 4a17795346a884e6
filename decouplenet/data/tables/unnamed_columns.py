"""Lists of images that do not name their columns: which column is what, as the usual lists are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from decouplenet.data.tables.flags import are_flags
from decouplenet.data.tables.rows import Rows
from decouplenet.data.tables.splits import SPLIT_WORDS
from decouplenet.errors import InputError
from decouplenet.image_suffixes import has_image_suffix

PATH, LABELS, SPLIT = "path", "labels", "split"
"""The names that the columns get."""
BOX = ("x1", "y1", "x2", "y2")
UNASSIGNED = "unassigned"
"""Google's word for a row that is in no split yet."""


def name_columns(lines: Sequence[tuple[int, list[str]]], where: str, *, by_blanks: bool) -> Rows:
    """The rows of a list, with names for its columns.

    The usual lists are `path 0 1 0`, `path,label,label`, RetinaNet's `path,x1,y1,x2,y2,class`, MXNet's
    `0<tab>1<tab>path`, and Google's `TRAIN,path,label,label`.

    Args:
        lines: the number of each line in its file, and its cells.
        where: the file's name for messages.
        by_blanks: whether blanks separate the cells, so that a path or a label with blanks is in several.

    Raises:
        InputError: there are only paths.
    """
    numbers = [number for number, _ in lines]
    rows = [[cell.strip() for cell in cells] for _, cells in lines]
    place = next((i for i, cell in enumerate(rows[0]) if is_image(cell)), 0)
    if by_blanks and len({len(row) for row in rows}) > 1:
        rows = [_with_whole_path(row, place) for row in rows]
    paths = [row[place] if place < len(row) else "" for row in rows]
    before = transposed([row[:place] for row in rows if len(row) > place]) if place else []
    rest = [row[place + 1 :] for row in rows]
    names, columns = [PATH], [paths]
    if before and len(before[0]) == len(rows):
        splits = {cell.lower() for cell in before[0]}
        if splits <= {*SPLIT_WORDS, UNASSIGNED}:
            names, columns, before = [*names, SPLIT], [*columns, before[0]], before[1:]
        elif len(rows) > 2 and before[0] in ([str(start + i) for i in range(len(rows))] for start in (0, 1)):
            before = before[1:]
        rest = (
            [[*cells, *others] for cells, others in zip(zip(*before, strict=True), rest, strict=True)]
            if before
            else rest
        )
    if not any(rest):
        raise InputError(f"{where} has only paths; it needs labels beside them")
    if len({len(row) for row in rest}) == 1:
        others = transposed(rest)
        if len(others) > 1 and all(map(are_flags, others)):
            flags = tuple(str(i) for i in range(len(others)))
            return Rows([*names, *flags], [*columns, *others], numbers, flags=flags)
        if len(others) == 5 and all(_is_box_side(cell) for column in others[:4] for cell in column):
            return Rows([*names, *BOX, LABELS], [*columns, *others], numbers)
    labels: list[Any] = [" ".join(row) for row in rest] if by_blanks else rest
    if not by_blanks and all(len(row) == 1 for row in rest):
        labels = [row[0] for row in rest]
    return Rows([*names, LABELS], [*columns, labels], numbers)


def _with_whole_path(cells: list[str], place: int) -> list[str]:
    """Cells of a line that was split at blanks, also those in the path."""
    end = next((i for i, cell in enumerate(cells) if i >= place and is_image(cell)), place)
    return [*cells[:place], " ".join(cells[place : end + 1]), *cells[end + 1 :]]


def is_image(cell: str) -> bool:
    """Whether a cell is the name of an image, or its address."""
    return has_image_suffix(cell.strip().partition("?")[0])


def _is_box_side(cell: str) -> bool:
    return cell == "" or re.fullmatch(r"-?\d+(\.\d*)?", cell) is not None


def transposed(rows: list[list[Any]]) -> list[list[Any]]:
    """The columns of rows."""
    return [list(column) for column in zip(*rows, strict=True)]
