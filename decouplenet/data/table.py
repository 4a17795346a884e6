"""One's own data: a csv or parquet table with a path and labels a row.

Labels are one column (`cat|dog`, `cat dog`, `['cat', 'dog']`, a list in parquet), or a column of 0 and 1 a class.
A `split` column (train, val, test) tells which rows are meant. Table and images may be addresses (`s3://...`).
"""

from __future__ import annotations

import ast
import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from decouplenet.config import nearest
from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Place, is_address, missing_of, place_of, read_bytes, refuse, shown
from decouplenet.errors import InputError

PATHS = ("path", "filepath", "file_path", "image_path", "file_name", "filename", "file", "image", "img", "uri", "url")
LABELS = ("labels", "label", "tags", "classes", "class", "categories", "category")
SPLITS = ("split", "subset", "set", "fold")
"""Names by which the columns are found, without regard to case."""
MEANS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
YES, NO = ("1", "1.0", "true"), ("0", "0.0", "false", "")
SEPARATORS = ("|", ";", ",", "\t", None)
"""What may stand between labels, the first that any cell has; None is blanks."""


def read_table(
    table: Place,
    images: Place | None,
    *,
    key: str,
    splits: Sequence[str] = (),
    classes: Sequence[str] | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    separator: str | None = None,
    fault: Callable[[str], None] = refuse,
) -> ImageSet:
    """The images of a table, in its order, also those without a label.

    Args:
        table: a .csv, .tsv, .txt (also .gz) or .parquet file; its columns are separated by what its first line has.
        images: the folder that relative paths are in; None for the table's own.
        key: the config keys' beginning, for messages: `data.train` or `data.val`.
        splits: values of the `split` column that are meant; all rows where there is no such column.
        classes: names of the classes; None for those found, sorted (of 0/1 columns: in their order).
        path_column: column of the paths; None to find it.
        label_column: column of the labels; None to find it.
        separator: between labels; None to find it.
        fault: told of each fault; if it returns, reading goes on without what is at fault.

    Raises:
        InputError: the table cannot be read, or its columns cannot be told.
    """
    where = f"{key}_annotations: '{shown(table)}'"
    names, rows = _rows(table, where)
    path_at = _column(names, path_column, PATHS, "path_column", where)
    if path_at is None:
        raise InputError(f"{where} has no column of paths ({', '.join(names)}); name it with data.path_column")
    split_at = _column(names, None, SPLITS, "", where)
    if splits and split_at is not None:
        known = {i: _split_of(row[split_at]) for i, row in enumerate(rows)}
        rows = [row for i, row in enumerate(rows) if known[i] in splits]
        if not rows:
            has = ", ".join(sorted(set(known.values())))
            raise InputError(f"{where} has no row whose {names[split_at]} is {' or '.join(splits)}; it has {has}")
    label_at = _column(names, label_column, LABELS, "label_column", where)
    if label_at is not None:
        found = _labels_of([row[label_at] for row in rows], separator)
        classes = classes or sorted({label for labels in found for label in labels})
    else:
        columns = [i for i in range(len(names)) if i not in (path_at, split_at)]
        if not columns or not all(_flag(row[i]) in YES + NO for row in rows for i in columns):
            raise InputError(
                f"{where} has neither a column of labels nor only 0 and 1 beside the paths ({', '.join(names)}); "
                "name the labels' with data.label_column"
            )
        found = [[names[i] for i in columns if _flag(row[i]) in YES] for row in rows]
        classes = classes or [names[i] for i in columns]
    if not classes:
        raise InputError(f"{where} has no label in any row")
    column = {name: i for i, name in enumerate(classes)}
    base = images if images is not None else folder_of(table)
    places = [place_of(str(row[path_at]).strip(), base) for row in rows]
    targets = np.zeros((len(rows), len(classes)), np.uint8)
    for i, labels in enumerate(found):
        for label in labels:
            if label in column:
                targets[i, column[label]] = 1
            else:
                fault(f"{where}: '{rows[i][path_at]}' has the label '{label}', which is none of the classes")
    for place, times in Counter(map(str, places)).items():
        if times > 1:
            fault(f"{where} has '{place}' in {times} rows; one row an image is needed, with all its labels")
    for text in missing_of(places, f"{key}_images"):
        fault(text)
    return ImageSet(tuple(places), targets, tuple(classes))


def folder_of(table: Place) -> Place:
    """The folder that a table is in."""
    if is_address(table):
        address, question, query = str(table).partition("?")
        return f"{address.rpartition('/')[0]}{question}{query}"
    return Path(table).expanduser().parent


def has_split(table: Place, split: str, key: str) -> bool:
    """Whether a table has a `split` column, and rows of that split in it."""
    names, rows = _rows(table, f"{key}_annotations: '{shown(table)}'")
    at = _column(names, None, SPLITS, "", "")
    return at is not None and any(_split_of(row[at]) == split for row in rows)


def _rows(table: Place, where: str) -> tuple[list[str], list[list[Any]]]:
    """Names of the columns, and the rows."""
    name = str(table).partition("?")[0] if is_address(table) else str(table)
    try:
        content = read_bytes(Path(table).expanduser() if not is_address(table) else table)
        if name.endswith(".parquet"):
            import pyarrow.parquet as pq

            loaded = pq.read_table(io.BytesIO(content))
            return list(loaded.column_names), [list(row.values()) for row in loaded.to_pylist()]
        text = (gzip.decompress(content) if name.endswith(".gz") else content).decode("utf-8-sig")
    except (OSError, ValueError) as error:  # pyarrow's errors are of these
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(f"{where} cannot be read ({reason}); give a csv or parquet file") from None
    first = text.partition("\n")[0]
    delimiter = max((",", "\t", ";", "|"), key=first.count)
    lines = list(csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True))
    if len(lines) < 2:
        raise InputError(f"{where} has {len(lines)} lines; names of columns and a row an image are needed")
    names = [cell.strip() for cell in lines[0]]
    rows: list[list[Any]] = [line for line in lines[1:] if line]
    for number, line in enumerate(lines[1:], start=2):
        if line and len(line) != len(names):
            raise InputError(f"{where}, line {number}: {len(line)} cells; the first line has {len(names)}")
    return names, rows


def _column(names: Sequence[str], wanted: str | None, usual: Sequence[str], option: str, where: str) -> int | None:
    """The place of a column that is named, or that has a usual name; None if there is none."""
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"data.{option}: {where} has no column '{wanted}'; {nearest(wanted, names)}")
        return list(names).index(wanted)
    lower = [name.lower() for name in names]
    return next((lower.index(name) for name in usual if name in lower), None)


def _flag(cell: Any) -> str:
    return str(cell).strip().lower()


def _split_of(cell: Any) -> str:
    text = str(cell).strip().lower()
    return MEANS.get(text, text)


def _labels_of(cells: Sequence[Any], separator: str | None) -> list[list[str]]:
    """The labels in each cell."""
    texts = [cell for cell in cells if isinstance(cell, str) and not _is_list(cell)]
    if separator is None:
        separator = next((one for one in SEPARATORS if one is None or any(one in text for text in texts)), None)
    elif not separator.strip():
        separator = None
    return [_labels_in(cell, separator) for cell in cells]


def _is_list(text: str) -> bool:
    return text.strip()[:1] in ("[", "(", "{") and text.strip()[-1:] in ("]", ")", "}")


def _labels_in(cell: Any, separator: str | None) -> list[str]:
    if cell is None:
        return []
    if not isinstance(cell, str):
        return [str(label) for label in cell] if hasattr(cell, "__iter__") else [str(cell)]
    text = cell.strip()
    if _is_list(text):
        quoted = [a or b for a, b in re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", text)]
        try:
            labels = [str(label) for label in ast.literal_eval(text)]
        except (ValueError, SyntaxError, TypeError):  # [cat, dog]
            labels = quoted or re.split(r"[,;\s]+", text[1:-1].strip())
        # Python takes ['cat' 'dog'], as numpy prints it, for one text.
        labels = quoted if len(quoted) > len(labels) else labels
    else:
        labels = text.split(separator)
    return [label.strip() for label in labels if label.strip()]
