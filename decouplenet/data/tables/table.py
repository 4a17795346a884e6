"""The user's own data: a table of images and their labels. See `files.py` for its files.

The labels are in one column (`cells.py`), or in one column of flags per class (`flags.py`). A `split` column
assigns the rows to train, val and test (`splits.py`). Table and images may be at addresses (`s3://...`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.config import DataConfig
from decouplenet.data.class_file import Classes
from decouplenet.data.image_names import image_places
from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Inside, Place, Source, is_address, path_part, shown
from decouplenet.data.reporter import STRICT, Reporter
from decouplenet.data.tables.cells import is_missing
from decouplenet.data.tables.columns import Roles, find_roles
from decouplenet.data.tables.files import read_rows
from decouplenet.data.tables.flags import flag_word
from decouplenet.data.tables.labels import Labels, Reading, cell_labels, flag_labels, with_unknown
from decouplenet.data.tables.rows import Rows
from decouplenet.data.tables.splits import assign_splits, split_flags
from decouplenet.errors import InputError

MAIN_KEY = "data.train"
"""The key of the table that must have all that `data.splits` names. Tables for other splits may lack it."""


class Table:
    """A table whose columns and labels are understood.

    Args:
        source: its file, files or folder; see `read_rows`.
        key: start of the config keys for messages: `data.train`, `data.val` or `data.test`.
        config: says which columns are what, and how rows and unknown labels count.
        classes: `data.classes`.
        reading: how the labels of the training table are read, for a table that is read like it.
        reporter: gets faults and notes.

    Raises:
        InputError: the table cannot be read, or its columns or labels cannot be understood.
    """

    def __init__(
        self,
        source: Source,
        *,
        key: str,
        config: DataConfig,
        classes: Classes | None = None,
        reading: Reading | None = None,
        reporter: Reporter = STRICT,
    ) -> None:
        self._key, self._where = key, f"{key}_annotations: '{shown(source)}'"
        self._folder, self._config = folder_of(source), config
        rows = read_rows(source, self._where)
        if not len(rows):
            raise InputError(f"{self._where} has no rows; it needs one row per image")
        roles = find_roles(rows, config, self._where, reporter)
        self._numbers, self._paths = rows.numbers, rows.column(roles.path)
        self._split_column = ", ".join(roles.splits)
        self._splits = self._read_splits(rows, roles, reporter)
        self._labels = self._read_labels(rows, roles, classes, reading, reporter)
        if roles.unknown is not None:
            self._labels = with_unknown(self._labels, rows.column(roles.unknown))
        if roles.confidence is not None:
            self._leave_out_absent(rows.column(roles.confidence), roles.confidence, reporter)

    def _read_splits(self, rows: Rows, roles: Roles, reporter: Reporter) -> list[str]:
        """The split of each row; empty if there is no split column."""
        is_main, mapping = self._key == MAIN_KEY, self._config.splits
        cells = [rows.column(name) for name in roles.splits]
        if len(cells) > 1:
            cells = [split_flags(dict(zip(roles.splits, cells, strict=True)))]
        if cells and not all(map(_is_blank, cells[0])):
            return assign_splits(cells[0], self._split_column, mapping, self._where, reporter, all_values=is_main)
        if mapping is not None and is_main:
            raise InputError(f"data.splits: {self._where} has no column of splits; name it with data.split_column")
        return []

    def _read_labels(
        self, rows: Rows, roles: Roles, classes: Classes | None, reading: Reading | None, reporter: Reporter
    ) -> Labels:
        """The labels of each row."""
        if roles.label is None:
            names = self._names_of_flags(len(rows.flags), classes, reporter) if rows.flags else roles.flags
            cells = [rows.column(name) for name in roles.flags]
            return flag_labels(names, cells, reading, self._where, reporter)
        return cell_labels(
            roles.label,
            rows.column(roles.label),
            rows.numbers,
            stated=rows.class_names.get(roles.label, ()),
            classes=classes,
            separator=self._config.label_separator,
            single=self._config.rows == "label",
            reading=reading,
            where=self._where,
            reporter=reporter,
        )

    @property
    def splits(self) -> Counter[str]:
        """The number of rows of each split; empty if there is no split column."""
        return Counter(split for split in self._splits if split)

    @property
    def reading(self) -> Reading:
        """How the labels are read."""
        return self._labels.reading

    def images(
        self,
        folder: Source | None,
        *,
        splits: Sequence[str] = (),
        suffix: str | None = None,
        reporter: Reporter = STRICT,
    ) -> ImageSet:
        """The images, in the order of the rows, also those without a label.

        Args:
            folder: the folder of relative paths; None for the table's own folder.
            splits: the splits to read; ignored if there is no split column.
            suffix: `data.suffix`.
            reporter: gets faults and notes.

        Raises:
            InputError: no row is left.
        """
        indices = self._rows_of(splits)
        labels = self._labels.rows(indices)
        names = [self._name(i, reporter) for i in indices]
        kept = [i for i, name in enumerate(names) if name]
        rows_by_name: dict[str | Inside, list[int]] = {}
        for i in kept:
            rows_by_name.setdefault(names[i], []).append(i)
        present, unknown = _merged(labels, list(rows_by_name.values()))
        places = self._places(list(rows_by_name), folder, suffix, reporter)
        if self._config.rows == "image":
            self._refuse_repeated(places, list(map(len, rows_by_name.values())), reporter)
        ignored = None
        if unknown is not None and self._config.unknown == "ignore":
            ignored = unknown
        elif unknown is not None and self._config.unknown == "positive":
            present = present | unknown
        return ImageSet(places, present.astype(np.uint8), labels.class_names, ignored)

    def _rows_of(self, splits: Sequence[str]) -> list[int]:
        """The indices of the rows of some splits; of all rows if there is no split column or no split is named.

        Raises:
            InputError: there are none.
        """
        if not self._splits or not splits:
            return list(range(len(self._paths)))
        rows = [i for i, split in enumerate(self._splits) if split in splits]
        if not rows:
            wanted = " or ".join(splits)
            listed = ", ".join(f"{split} ({count})" for split, count in sorted(self.splits.items())) or "no split"
            raise InputError(f"{self._where} has no row with {self._split_column} {wanted}; the column has {listed}")
        return rows

    def _name(self, i: int, reporter: Reporter) -> str | Inside:
        """The path of a row, or its image inside of the table; empty if there is none."""
        cell = self._paths[i]
        if isinstance(cell, Inside):
            return cell
        name = "" if _is_blank(cell) else str(cell).strip().removeprefix("./")
        if not name:
            reporter.fault(f"{self._where}, row {self._numbers[i]}: no path; fill it in or remove the row")
        return name

    def _places(
        self, names: Sequence[str | Inside], folder: Source | None, suffix: str | None, reporter: Reporter
    ) -> tuple[Place, ...]:
        outside = [name for name in names if isinstance(name, str)]
        folder = self._folder if folder is None else folder
        places = iter(image_places(outside, folder, key=self._key, suffix=suffix, reporter=reporter))
        return tuple(next(places) if isinstance(name, str) else name for name in names)

    def _refuse_repeated(self, places: Sequence[Place], counts: Sequence[int], reporter: Reporter) -> None:
        rows = Counter[Place]()
        for place, count in zip(places, counts, strict=True):
            rows[place] += count
        for place, count in rows.items():
            if count > 1:
                reporter.fault(
                    f"{self._where}: '{shown(place)}' is in {count} rows; write one row with all its labels, or set "
                    "data.rows to label if a row is one label or object"
                )

    def _leave_out_absent(self, cells: Sequence[Any], column: str, reporter: Reporter) -> None:
        """Take the labels from rows with confidence 0, which say that the class is absent."""
        absent = np.array([flag_word(cell) == "0" for cell in cells])
        if absent.any():
            reporter.note(
                f"{self._where}: {int(absent.sum())} of {len(absent)} rows have {column} 0 (verified to be absent), "
                "and give no label"
            )
            self._labels.present[absent] = False
        if not self._labels.present.any():
            raise InputError(f"{self._where} has no label in any row; check data.label_column")

    def _names_of_flags(self, count: int, classes: Classes | None, reporter: Reporter) -> tuple[str, ...]:
        """The names of the columns of a file that does not name them."""
        if classes is None:
            reporter.note(f"{self._where} does not name its {count} classes; data.classes can name them")
            return tuple(f"class_{i}" for i in range(count))
        if len(classes.names) != count:
            raise InputError(
                f"data.classes has {len(classes.names)} classes, but {self._where} has {count} columns of flags; "
                "give one name per column"
            )
        return classes.names


def _merged(labels: Labels, groups: Sequence[Sequence[int]]) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """The labels of images, each of which has one or several rows: a class that any row has is present."""
    if all(len(group) == 1 for group in groups):
        rows = [group[0] for group in groups]
        return labels.present[rows], None if labels.unknown is None else labels.unknown[rows]
    shape = len(groups), len(labels.class_names)
    present = np.zeros(shape, bool)
    unknown = None if labels.unknown is None else np.zeros(shape, bool)
    for i, group in enumerate(groups):
        present[i] = labels.present[group].any(0)
        if unknown is not None and labels.unknown is not None:
            unknown[i] = labels.unknown[group].any(0) & ~present[i]
    return present, unknown


def _is_blank(cell: Any) -> bool:
    return is_missing(cell) or (isinstance(cell, str) and not cell.strip())


def folder_of(table: Source) -> Source:
    """The folder that holds a table."""
    path = path_part(table)
    if is_address(table):
        return f"{path.rpartition('/')[0]}{str(table)[len(path) :]}"
    return Path(path) if Path(path).is_dir() else Path(path).parent
