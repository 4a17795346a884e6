"""One's own data: a csv or parquet table with a path and labels a row.

Labels are one column (see `label_cells.py`), or a column of 0 and 1 a class. A `split` column (train, val, test) tells
which rows are meant. Table and images may be addresses (`s3://...`).
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from decouplenet.config import nearest
from decouplenet.data.image_set import ImageSet
from decouplenet.data.label_cells import NO, YES, find_separator, flag, labels_in
from decouplenet.data.places import Place, is_address, missing_of, place_of, read_bytes, refuse, shown
from decouplenet.errors import InputError

PATHS = ("path", "filepath", "file_path", "image_path", "file_name", "filename", "file", "image", "img", "uri", "url")
LABELS = ("labels", "label", "tags", "classes", "class", "categories", "category")
SPLITS = ("split", "split_name", "subset")
"""Names by which the columns are found, without regard to case."""
INDEX = ("", "unnamed: 0", "__index_level_0__")
"""Columns that pandas writes besides."""
MEANS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


class Table:
    """A table, its columns told apart.

    Args:
        place: a .csv, .tsv, .txt (also .gz) or .parquet file; its columns are separated by what its first line has.
        key: the config keys' beginning, for messages: `data.train` or `data.val`.
        path_column: column of the paths; None to find it.
        label_column: column of the labels; None to find it.
        split_column: column of the splits; None to find it.
        separator: between labels; None to find it.

    Raises:
        InputError: the table cannot be read, or its columns cannot be told.
    """

    def __init__(
        self,
        place: Place,
        *,
        key: str,
        path_column: str | None = None,
        label_column: str | None = None,
        split_column: str | None = None,
        separator: str | None = None,
    ) -> None:
        self._key, self._where = key, f"{key}_annotations: '{shown(place)}'"
        self._folder = folder_of(place)
        self._names, self._rows = _read(place, self._where)
        path_at = self._column(path_column, PATHS, "path_column")
        if path_at is None:
            columns = ", ".join(self._names)
            raise InputError(f"{self._where} has no column of paths ({columns}); name it with data.path_column")
        self._path_at = path_at
        self._split_at = self._column(split_column, SPLITS, "split_column")
        self._label_at = self._column(label_column, LABELS, "label_column")
        self._flags: list[int] = []
        self.separator = separator or ""
        """What stands between labels."""
        if self._label_at is None:
            self._flags = self._flag_columns()
        elif not separator:
            self.separator = find_separator(row[self._label_at] for _, row in self._rows)

    @property
    def splits(self) -> set[str]:
        """The values of the split column; none where there is no such column."""
        at = self._split_at
        return set() if at is None else {_split_of(row[at]) for _, row in self._rows}

    def images(
        self,
        folder: Place | None,
        *,
        splits: Sequence[str] = (),
        classes: Sequence[str] | None = None,
        fault: Callable[[str], None] = refuse,
    ) -> ImageSet:
        """The images, in the order of the rows, also those without a label.

        Args:
            folder: what relative paths are in; None for the table's own folder.
            splits: values of the split column that are meant; all rows where there is no such column.
            classes: names of the classes; None for those found, sorted (of 0/1 columns: in their order).
            fault: told of each fault; if it returns, reading goes on without what is at fault.

        Raises:
            InputError: no row, or no label, is left.
        """
        at = self._split_at
        rows = [(n, row) for n, row in self._rows if not splits or at is None or _split_of(row[at]) in splits]
        if not rows:
            wanted, has = " or ".join(splits), ", ".join(sorted(self.splits))
            raise InputError(f"{self._where} has no row whose {self._names[at or 0]} is {wanted}; it has {has}")
        found = [self._labels(number, row, fault) for number, row in rows]
        classes = tuple(classes or self._classes(found, fault))
        column = {name: i for i, name in enumerate(classes)}
        if self._flags and (lacking := sorted(column.keys() - {self._names[i] for i in self._flags})):
            fault(f"{self._where} has no column for {', '.join(map(repr, lacking))}")
        places, kept = [], []
        for (number, row), labels in zip(rows, found, strict=True):
            path = "" if row[self._path_at] is None else str(row[self._path_at]).strip()
            if not path:
                fault(f"{self._where}, row {number}: no path")
                continue
            for label in labels:
                if label not in column:
                    fault(f"{self._where}: '{shown(path)}' has the label '{label}', which is none of the classes")
            places.append(place_of(path, self._folder if folder is None else folder))
            kept.append([int(name in labels) for name in classes])
        for place, times in Counter(places).items():
            if times > 1:
                fault(f"{self._where}: '{shown(place)}' is in {times} rows; one is needed, with all its labels")
        for text in missing_of(places, f"{self._key}_images"):
            fault(text)
        return ImageSet(tuple(places), np.array(kept, np.uint8).reshape(len(places), len(classes)), classes)

    def _labels(self, number: int, row: list[Any], fault: Callable[[str], None]) -> list[str]:
        if self._label_at is None:
            return [self._names[i] for i in self._flags if flag(row[i]) in YES]
        try:
            return labels_in(row[self._label_at], self.separator)
        except ValueError as error:
            fault(f"{self._where}, row {number}: {error}")
        return []

    def _classes(self, found: list[list[str]], fault: Callable[[str], None]) -> list[str]:
        names = [self._names[i] for i in self._flags] or sorted({label for labels in found for label in labels})
        for name, times in Counter(names).items():
            if times > 1:
                fault(f"{self._where} has {times} columns '{name}'")
        if not names:
            raise InputError(f"{self._where} has no label in any row")
        return list(dict.fromkeys(names))

    def _flag_columns(self) -> list[int]:
        """The columns that are classes, where there is none of labels."""
        others = (self._path_at, self._split_at)
        found = [i for i, name in enumerate(self._names) if i not in others and name.lower() not in INDEX]
        if not found or not all(flag(row[i]) in YES + NO for _, row in self._rows for i in found):
            raise InputError(
                f"{self._where} has neither a column of labels nor only 0 and 1 beside the paths "
                f"({', '.join(self._names)}); name the labels' with data.label_column"
            )
        return found

    def _column(self, wanted: str | None, usual: Sequence[str], option: str) -> int | None:
        """The place of a column that is named, or that has a usual name; None if there is none."""
        if wanted is not None:
            if wanted not in self._names:
                hint = nearest(wanted, self._names)
                raise InputError(f"data.{option}: {self._where} has no column '{wanted}'; {hint}")
            return self._names.index(wanted)
        lower = [name.lower() for name in self._names]
        return next((lower.index(name) for name in usual if name in lower), None)


def folder_of(table: Place) -> Place:
    """The folder that a table is in."""
    if is_address(table):
        address, question, query = str(table).partition("?")
        return f"{address.rpartition('/')[0]}{question}{query}"
    return Path(table).expanduser().parent


def _split_of(cell: Any) -> str:
    text = str(cell).strip().lower()
    return MEANS.get(text, text)


def _read(place: Place, where: str) -> tuple[list[str], list[tuple[int, list[Any]]]]:
    """Names of the columns, and the rows with their numbers in the file; empty ones are left out."""
    name = str(place).partition("?")[0] if is_address(place) else str(place)
    try:
        content = read_bytes(place if is_address(place) else Path(place).expanduser())
        if name.endswith(".parquet"):
            import pyarrow.parquet as pq

            loaded = pq.read_table(io.BytesIO(content))
            return list(loaded.column_names), list(
                enumerate(map(list, zip(*loaded.to_pydict().values(), strict=True)), 1)
            )
        text = (gzip.decompress(content) if name.endswith(".gz") else content).decode("utf-8-sig")
        first = text.lstrip().splitlines()[0] if text.strip() else ""
        delimiter = max((",", "\t", ";", "|"), key=first.count)
        read = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, skipinitialspace=True, strict=True)
        lines = [(read.line_num, line) for line in read]
    except (OSError, ValueError, EOFError, zlib.error, csv.Error) as error:  # pyarrow's errors are of these
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(f"{where} cannot be read ({reason}); give a csv or parquet file") from None
    lines = [(number, line) for number, line in lines if any(cell.strip() for cell in line)]
    if len(lines) < 2:
        raise InputError(f"{where} has {len(lines)} lines; names of columns and a row an image are needed")
    names = [cell.strip() for cell in lines[0][1]]
    for number, line in lines[1:]:
        if len(line) != len(names):
            raise InputError(f"{where}, line {number}: {len(line)} cells; the first line has {len(names)}")
    return names, [(number, line) for number, line in lines[1:]]
