"""Which columns of a table are paths, splits and labels: named by the config, or found by their usual names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from decouplenet.config import DataConfig
from decouplenet.data.places import Inside
from decouplenet.data.reporter import Reporter
from decouplenet.data.tables.cells import is_missing
from decouplenet.data.tables.flags import are_flags
from decouplenet.data.tables.rows import Rows
from decouplenet.data.tables.splits import FLAG_COLUMNS, are_splits
from decouplenet.data.tables.unnamed_columns import is_image
from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError
from decouplenet.wording import examples

PATHS = (
    *("path", "filepath", "file_path", "image_path", "img_path", "file_name", "filename", "file", "image", "img"),
    *("image_name", "img_name", "fname", "photo", "uri", "url", "image index", "image_id", "imageid", "id"),
)
LABELS = (
    *("labels", "label", "tags", "classes", "class", "categories", "category", "class_name", "class_names"),
    *("label_names", "labelname", "label_name", "targets", "target", "finding labels", "attributes", "attribute_ids"),
    *("genres", "genre", "keywords", "concepts", "choice", "choices", "cls", "txt"),
)
SPLITS = (
    *("split", "split_name", "subset", "set", "partition", "fold"),
    *("is_valid", "is_val", "is_validation", "is_test", "is_train"),
)
"""Usual names of the columns of paths, labels and splits. Upper and lower case are the same."""
CONFIDENCE = ("confidence", "present", "presence", "value")
"""Columns that hold 0 where a label is absent. The first is that of Open Images. The others need one row per label."""
UNKNOWN_LABELS = "unknown_labels"
"""Column of the labels of which nothing is known, as `data check --fix` writes it."""
INDEX = ("", "unnamed: 0", "__index_level_0__")
"""Names of index columns that pandas writes."""
MAX_LISTED = 10
"""Maximum number of columns that a hint lists, if it can name them otherwise."""
NO_COLUMN = "none"
"""The value of `data.split_column` for a table without splits."""
AFTER = re.compile(r"(?:all )?after (.+)", re.IGNORECASE)
"""A value of `data.label_columns` for all columns after one."""


@dataclass(frozen=True)
class Roles:
    """The columns of a table by their role."""

    path: str
    splits: tuple[str, ...]
    """The column of splits, or several columns of flags such as `is_valid` and `is_test`; empty if there is none."""
    label: str | None
    """The single column of labels; None if there are columns of flags."""
    flags: tuple[str, ...]
    """The columns of flags, one per class; empty if there is a column of labels."""
    confidence: str | None = None
    unknown: str | None = None
    """The column of the labels of which nothing is known."""


def find_roles(rows: Rows, config: DataConfig, where: str, reporter: Reporter) -> Roles:
    """The columns of a table by their role.

    Args:
        rows: the table.
        config: names columns, or leaves them to be found.
        where: the table's name for messages.
        reporter: gets notes.

    Raises:
        InputError: a column cannot be found.
    """
    path = _path_column(rows, config.path_column, where)
    chosen = () if config.label_columns is None else _chosen(config.label_columns, rows.names, path, where)
    label = None if chosen else _named(rows.names, config.label_column, LABELS, "label_column", where)
    named = {name for name in chosen if name in _parts(config.label_columns, rows.names)}  # not by a pattern
    splits = _split_columns(rows, config.split_column, {path, label, *named}, where)
    if chosen:
        if config.label_column is not None:
            raise InputError("data.label_column and data.label_columns are both given; give one of them")
        return Roles(path, splits, None, tuple(name for name in chosen if name not in splits))
    others = [name for name in rows.names if name not in (path, *splits) and name.lower() not in INDEX]
    if label is None and len(others) == 1 and any(map(_is_word, rows.column(others[0]))):
        label = others[0]  # it can be nothing else
    if label is None or label == path:
        flags = _flag_columns(rows, path, others, where)
        if not rows.flags:
            reporter.note(f"{where}: each of the columns {examples(flags)} is a class")
        return Roles(path, splits, None, flags)
    lower = {name.lower(): name for name in rows.names}
    if config.label_column is None:
        _note_others(rows, label, others, where, reporter)
    usual = CONFIDENCE if config.rows == "label" else CONFIDENCE[:1]
    confidence = next((lower[name] for name in usual if name in lower), None)
    if confidence is not None and not all(map(_is_share, rows.column(confidence))):
        confidence = None
    return Roles(path, splits, label, (), confidence, lower.get(UNKNOWN_LABELS))


def _split_columns(rows: Rows, wanted: str | None, taken: set[str | None], where: str) -> tuple[str, ...]:
    """The columns of splits: the named one, those with usual names, or the first whose cells are all usual words."""
    if wanted == NO_COLUMN:
        return ()
    free = [name for name in rows.names if name not in taken]
    split = _named(rows.names if wanted else free, wanted, SPLITS, "split_column", where)
    if split is None:
        return tuple(name for name in free if are_splits(rows.column(name)))[:1]
    if wanted is None and split.lower() in FLAG_COLUMNS:
        return tuple(name for name in free if name.lower() in FLAG_COLUMNS)
    return (split,)


def _note_others(rows: Rows, label: str, others: Sequence[str], where: str, reporter: Reporter) -> None:
    """Note other columns that may be labels too, where the column of labels was found by its name."""
    free = [name for name in others if name != label and name.lower() not in CONFIDENCE]
    flags = [name for name in free if are_flags(rows.column(name))]
    usual = [name for name in free if name.lower() in LABELS]
    if len(flags) > 1 or usual:
        reporter.note(
            f"{where}: '{label}' is taken for the labels, and {examples(usual + flags)} not; data.label_column and "
            "data.label_columns choose others"
        )


def _is_share(cell: Any) -> bool:
    """Whether a cell is empty, a flag, or a number from 0 to 1."""
    if is_missing(cell) or are_flags([cell]) or cell == "":
        return True
    try:
        return 0 <= float(cell) <= 1
    except (TypeError, ValueError):
        return False


def _path_column(rows: Rows, wanted: str | None, where: str) -> str:
    inside = [name for name, cells in zip(rows.names, rows.columns, strict=True) if isinstance(_first(cells), Inside)]
    if wanted is None and len(inside) == 1:
        return inside[0]
    if path := _named(rows.names, wanted, PATHS, "path_column", where):
        return path
    images = [name for name, cells in zip(rows.names, rows.columns, strict=True) if _are_images(cells)]
    if len(images) == 1:
        return images[0]
    listed = ", ".join(rows.names)
    raise InputError(f"{where} has no column of paths ({listed}); name it with data.path_column")


def _first(cells: Sequence[Any]) -> Any:
    return next((cell for cell in cells if cell is not None), None)


def _are_images(cells: Sequence[Any]) -> bool:
    """Whether all cells that are not empty are names of images."""
    names = [cell for cell in cells if not is_missing(cell) and cell != ""]
    return bool(names) and all(isinstance(name, str) and is_image(name) for name in names)


def _is_word(cell: Any) -> bool:
    """Whether a cell is neither a number, nor a flag, nor empty."""
    if isinstance(cell, str):
        return cell.strip() != "" and not are_flags([cell]) and re.fullmatch(r"[-+.\deE]+", cell.strip()) is None
    return isinstance(cell, list)


def _named(names: Sequence[str], wanted: str | None, usual: Sequence[str], option: str, where: str) -> str | None:
    """The column `wanted`, or the first with a usual name; None if there is none."""
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"data.{option}: {where} has no column '{wanted}'; {nearest(wanted, names)}")
        return wanted
    lower = [name.lower() for name in names]
    return next((names[lower.index(name)] for name in usual if name in lower), None)


def _parts(wanted: Sequence[str] | str | None, names: Sequence[str]) -> list[str]:
    """The names and patterns of `data.label_columns`; a text may have several, with commas."""
    if isinstance(wanted, str):
        wanted = [wanted] if wanted in names else wanted.split(",")
    return [str(part).strip() for part in wanted or ()]


def _chosen(wanted: Sequence[str] | str, names: Sequence[str], path: str, where: str) -> tuple[str, ...]:
    """The columns that `data.label_columns` names, in the order of the table for a pattern."""
    chosen: list[str] = []
    for part in _parts(wanted, names):
        after = AFTER.fullmatch(part)
        if part in names:
            fitting = [part]
        elif after and after[1] in names:
            fitting = [*names[names.index(after[1]) + 1 :]]
        else:
            fitting = [name for name in names if name != path and fnmatchcase(name, part)]
        if not fitting:
            hint = nearest(after[1] if after else part, names)
            raise InputError(f"data.label_columns: {where} has no column '{part}'; {hint}")
        chosen += fitting
    if path in chosen:
        raise InputError(f"data.label_columns: '{path}' is the column of paths; name columns of 0 and 1")
    return tuple(dict.fromkeys(chosen))


def _flag_columns(rows: Rows, path: str, others: Sequence[str], where: str) -> tuple[str, ...]:
    """The columns of flags of a table without a column of labels: all columns beside paths and splits."""
    if rows.flags:
        return rows.flags
    flags = [name for name in others if are_flags(rows.column(name))]
    if others and flags == list(others):
        return tuple(flags)
    not_flags = [name for name in others if name not in flags]
    listed, advice = ", ".join(rows.names), "name the column of labels with data.label_column"
    if flags:
        advice = f"name the columns of flags with data.label_columns, such as {_list_of(flags, others)}, or {advice}"
    reason = f"'{not_flags[0]}' is no column of 0 and 1" if flags else "no column beside the paths has only 0 and 1"
    raise InputError(f"{where} has no column of labels ({listed}), and {reason}; {advice}")


def _list_of(flags: Sequence[str], others: Sequence[str]) -> str:
    """All columns of flags as a value of `data.label_columns`: by the column before them if they are the last ones."""
    before = len(others) - len(flags)
    if len(flags) > MAX_LISTED and list(others[before:]) == list(flags) and before:
        return f"'after {others[before - 1]}'"
    return f"[{', '.join(flags)}]"
