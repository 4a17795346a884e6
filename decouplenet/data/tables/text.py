"""Tables as text: csv with any usual separator, and lists of images without a line of names."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib

from decouplenet.data.places import Source, path_part, read_bytes
from decouplenet.data.tables.rows import Rows
from decouplenet.data.tables.unnamed_columns import PATH, is_image, name_columns, transposed
from decouplenet.errors import InputError, UnreadableError

DELIMITERS = (",", "\t", ";", "|")
"""Possible separators of columns: tab if the first line has it, else the sign that it has most, else blanks."""
EXCEL_HINT = re.compile(r"sep=(.)\r?\n")
"""A first line by which Excel is told the separator."""
HELP = "give a csv or parquet file"
Line = tuple[int, list[str]]
"""The number of a line in its file, and its cells."""


def read_text(source: Source, where: str) -> Rows:
    """The rows of a text file, without empty rows. If its first line names an image, it does not name the columns.

    Args:
        source: a .csv, .tsv or .txt file, also compressed (.gz).
        where: the file's name for messages.

    Raises:
        InputError: the file cannot be read, or a line has a wrong number of cells.
    """
    try:
        content = read_bytes(source)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{where} cannot be read ({reason_of(error)}); {HELP}") from None
    try:
        text = decoded(gzip.decompress(content) if path_part(source).endswith(".gz") else content)
        lines, by_blanks = _lines(text)
    except (OSError, ValueError, EOFError, zlib.error, csv.Error) as error:
        raise InputError(f"{where} cannot be read ({reason_of(error)}); {HELP}") from None
    lines = _without_count(lines)
    if lines and any(map(is_image, lines[0][1])):
        return name_columns(lines, where, by_blanks=by_blanks)
    if len(lines) < 2:
        raise InputError(f"{where} has {len(lines)} lines; it needs the names of the columns and one row per image")
    names, rows = [cell.strip() for cell in lines[0][1]], lines[1:]
    widths = {len(cells) for _, cells in rows}
    if widths != {len(names)} and len(widths) == 1 and is_image(rows[0][1][0]):  # the first line does not name them all
        if widths != {len(names) + 1}:
            return name_columns(rows, where, by_blanks=by_blanks)
        names = [PATH, *names]
    for number, cells in rows:
        if len(cells) != len(names):
            raise InputError(
                f"{where}, line {number}: {len(cells)} cells, but the first line has {len(names)}; "
                "quote cells that contain the separator of the columns"
            )
    return Rows(names, transposed([cells for _, cells in rows]), [number for number, _ in rows])


def reason_of(error: Exception) -> str:
    """Why a file cannot be read."""
    return getattr(error, "strerror", None) or str(error).partition("\n")[0]


def decoded(content: bytes) -> str:
    """The text of a file. Excel writes UTF-16 with a mark at the start.

    Raises:
        ValueError: the file is not text in UTF-8.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16")
    if content[:4] == b"PK\x03\x04":
        raise ValueError("it is an Excel file or an archive; save the table as csv")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not text in UTF-8; save the file as UTF-8") from None


def _without_count(lines: list[Line]) -> list[Line]:
    """The lines without a first line that is the number of images, as in the lists of CelebA."""
    first = lines[0][1] if lines else []
    return lines[1:] if len(first) == 1 and first[0].strip() in map(str, (len(lines) - 1, len(lines) - 2)) else lines


def _lines(text: str) -> tuple[list[Line], bool]:
    """The lines of a text as cells, without empty lines; and whether blanks separate the cells."""
    hint = EXCEL_HINT.match(text)
    start = hint.end() if hint else 0
    first = text[start:].lstrip().splitlines()[0] if text[start:].strip() else ""
    delimiter = hint[1] if hint else "\t" if "\t" in first else max(DELIMITERS, key=first.count)
    by_blanks = delimiter not in first
    skipped = text.count("\n", 0, start)
    if by_blanks:
        lines = [(number, line.split()) for number, line in enumerate(text[start:].splitlines(), start=1 + skipped)]
    else:
        stream = io.StringIO(text[start:], newline=None)
        reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)
        lines = [(reader.line_num + skipped, cells) for cells in reader]
    return [(number, cells) for number, cells in lines if any(cell.strip() for cell in cells)], by_blanks
