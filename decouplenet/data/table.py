"""The user's own data: a csv or parquet table with one image path and its labels per row.

The labels are in one column (see `label_cells.py`), or in one column of 0 and 1 per class. A `split` column (train,
val, test) assigns the rows to splits. Table and images may be at addresses (`s3://...`).
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from decouplenet.data.image_set import ImageSet, OnFault
from decouplenet.data.label_cells import NO, YES, find_separator, flag_text, labels_in
from decouplenet.data.places import Place, is_address, missing_files, place_of, read_bytes, refuse, shown
from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError, UnreadableError

PATHS = ("path", "filepath", "file_path", "image_path", "file_name", "filename", "file", "image", "img", "uri", "url")
LABELS = ("labels", "label", "tags", "classes", "class", "categories", "category")
SPLITS = ("split", "split_name", "subset")
"""Usual names of the columns of paths, labels and splits. Upper and lower case are the same."""
INDEX = ("", "unnamed: 0", "__index_level_0__")
"""Names of index columns that pandas writes."""
SPLIT_SYNONYMS = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


class Table:
    """A table with known columns of paths, labels and splits.

    Args:
        place: a .csv, .tsv, .txt (also .gz) or .parquet file. The columns of a text file are separated by the sign
            (`,`, tab, `;` or `|`) that its first line has most.
        key: start of the config keys for messages: `data.train` or `data.val`.
        path_column: column of the paths; None to find it by its name.
        label_column: column of the labels; None to find it by its name.
        split_column: column of the splits; None to find it by its name.
        separator: separator of labels; None to find it.

    Raises:
        InputError: the table cannot be read, or a column cannot be found.
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
        path_index = self._column(path_column, PATHS, "path_column")
        if path_index is None:
            columns = ", ".join(self._names)
            raise InputError(f"{self._where} has no column of paths ({columns}); name it with data.path_column")
        self._path_index = path_index
        self._split_index = self._column(split_column, SPLITS, "split_column")
        self._label_index = self._column(label_column, LABELS, "label_column")
        self._class_indices: list[int] = []
        self.separator = separator or ""
        """The separator of labels."""
        if self._label_index is None:
            self._class_indices = self._class_columns()
        elif not separator:
            self.separator = find_separator(row[self._label_index] for _, row in self._rows)

    @property
    def splits(self) -> set[str]:
        """The values of the split column; empty if there is no such column."""
        index = self._split_index
        return set() if index is None else {_split_of(row[index]) for _, row in self._rows}

    def images(
        self,
        folder: Place | None,
        *,
        splits: Sequence[str] = (),
        classes: Sequence[str] | None = None,
        on_fault: OnFault = refuse,
    ) -> ImageSet:
        """The images, in the order of the rows, also those without a label.

        Args:
            folder: the folder of relative paths; None for the table's own folder.
            splits: the splits to read; ignored if there is no split column.
            classes: names of the classes; None for the labels in the table, sorted, or for its columns of classes.
            on_fault: called with each fault; if it returns, reading continues without the faulty item.

        Raises:
            InputError: no row, or no label, is left.
        """
        rows = self._rows_of(splits)
        labels = [self._labels(number, row, on_fault) for number, row in rows]
        classes = tuple(classes or self._classes(labels, on_fault))
        columns = {self._names[i] for i in self._class_indices}
        if columns and (lacking := sorted(set(classes) - columns)):
            on_fault(f"{self._where} has no column for {', '.join(map(repr, lacking))}")
        places, targets = [], []
        for (number, row), row_labels in zip(rows, labels, strict=True):
            path = "" if row[self._path_index] is None else str(row[self._path_index]).strip()
            if not path:
                on_fault(f"{self._where}, row {number}: no path; fill it in or remove the row")
                continue
            for label in row_labels:
                if label not in classes:
                    on_fault(f"{self._where}: '{shown(path)}' has the label '{label}', which is not one of the classes")
            places.append(place_of(path, self._folder if folder is None else folder))
            targets.append([int(name in row_labels) for name in classes])
        for place, count in Counter(places).items():
            if count > 1:
                on_fault(f"{self._where}: '{shown(place)}' is in {count} rows; write one row with all its labels")
        for text in missing_files(places, f"{self._key}_images"):
            on_fault(text)
        return ImageSet(tuple(places), np.array(targets, np.uint8).reshape(len(places), len(classes)), classes)

    def _rows_of(self, splits: Sequence[str]) -> list[tuple[int, list[Any]]]:
        """The numbered rows of some splits; all rows if there is no split column or no split is named.

        Raises:
            InputError: there are none.
        """
        index = self._split_index
        if index is None or not splits:
            if not self._rows:
                raise InputError(f"{self._where} has no rows; it needs one row per image")
            return self._rows
        rows = [(number, row) for number, row in self._rows if _split_of(row[index]) in splits]
        if not rows:
            wanted, available = " or ".join(splits), ", ".join(sorted(self.splits))
            raise InputError(f"{self._where} has no row with {self._names[index]} {wanted}; the column has {available}")
        return rows

    def _labels(self, number: int, row: list[Any], on_fault: OnFault) -> list[str]:
        """The labels of a row."""
        if self._label_index is None:
            return [self._names[i] for i in self._class_indices if flag_text(row[i]) in YES]
        try:
            return labels_in(row[self._label_index], self.separator)
        except ValueError as error:
            on_fault(f"{self._where}, row {number}: {error}")
        return []

    def _classes(self, labels: list[list[str]], on_fault: OnFault) -> list[str]:
        """The names of the classes: the columns of classes, or all labels of the rows, sorted."""
        names = [self._names[i] for i in self._class_indices]
        names = names or sorted({label for row_labels in labels for label in row_labels})
        for name, count in Counter(names).items():
            if count > 1:
                on_fault(f"{self._where} has {count} columns '{name}'; give each its own name")
        if not names:
            raise InputError(f"{self._where} has no label in any row; check data.label_column")
        return list(dict.fromkeys(names))

    def _class_columns(self) -> list[int]:
        """The columns that stand for one class each; for a table without a column of labels."""
        others = (self._path_index, self._split_index)
        indices = [i for i, name in enumerate(self._names) if i not in others and name.lower() not in INDEX]
        if not indices or not all(flag_text(row[i]) in YES + NO for _, row in self._rows for i in indices):
            raise InputError(
                f"{self._where} has no column of labels, and its columns beside the paths are not all 0 and 1 "
                f"({', '.join(self._names)}); name the column of labels with data.label_column"
            )
        return indices

    def _column(self, wanted: str | None, usual: Sequence[str], option: str) -> int | None:
        """The index of the column `wanted`, or of the first with a usual name; None if there is none."""
        if wanted is not None:
            if wanted not in self._names:
                hint = nearest(wanted, self._names)
                raise InputError(f"data.{option}: {self._where} has no column '{wanted}'; {hint}")
            return self._names.index(wanted)
        lower = [name.lower() for name in self._names]
        return next((lower.index(name) for name in usual if name in lower), None)


def folder_of(table: Place) -> Place:
    """The folder that holds a table."""
    if is_address(table):
        address, question, query = str(table).partition("?")
        return f"{address.rpartition('/')[0]}{question}{query}"
    return Path(table).expanduser().parent


def _split_of(cell: Any) -> str:
    text = str(cell).strip().lower()
    return SPLIT_SYNONYMS.get(text, text)


def _read(place: Place, where: str) -> tuple[list[str], list[tuple[int, list[Any]]]]:
    """The names of the columns, and the rows with their numbers in the file, without empty rows."""
    name = str(place).partition("?")[0] if is_address(place) else str(place)
    try:
        content = read_bytes(place if is_address(place) else Path(place).expanduser())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise UnreadableError(f"{where} cannot be read ({reason}); give a csv or parquet file") from None
    try:
        if name.endswith(".parquet"):
            return _parquet_rows(content)
        lines = _csv_lines((gzip.decompress(content) if name.endswith(".gz") else content).decode("utf-8-sig"))
    except (OSError, ValueError, EOFError, zlib.error, csv.Error) as error:  # pyarrow's errors are of these types
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(f"{where} cannot be read ({reason}); give a csv or parquet file") from None
    if len(lines) < 2:
        raise InputError(f"{where} has {len(lines)} lines; it needs the names of the columns and one row per image")
    names = [cell.strip() for cell in lines[0][1]]
    for number, line in lines[1:]:
        if len(line) != len(names):
            raise InputError(f"{where}, line {number}: {len(line)} cells, but the first line has {len(names)}")
    return names, [(number, line) for number, line in lines[1:]]


def _parquet_rows(content: bytes) -> tuple[list[str], list[tuple[int, list[Any]]]]:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    rows = map(list, zip(*table.to_pydict().values(), strict=True))
    return list(table.column_names), list(enumerate(rows, start=1))


def _csv_lines(text: str) -> list[tuple[int, list[str]]]:
    """The lines of a csv as cells, with their numbers, without empty lines."""
    first = text.lstrip().splitlines()[0] if text.strip() else ""
    delimiter = max((",", "\t", ";", "|"), key=first.count)
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, skipinitialspace=True, strict=True)
    lines = [(reader.line_num, cells) for cells in reader]
    return [(number, cells) for number, cells in lines if any(cell.strip() for cell in cells)]
