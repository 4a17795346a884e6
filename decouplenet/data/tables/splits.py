"""The split of each row of a table: from the words in its split column, or from the config's `data.splits`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from decouplenet.data.reporter import Reporter
from decouplenet.data.tables.cells import is_missing
from decouplenet.data.tables.flags import distinct
from decouplenet.errors import InputError
from decouplenet.wording import counted

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval", "evaluation", "holdout"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
"""The usual words for the splits, in lower case."""
FLAG_COLUMNS = {
    "is_train": ("train", "val"),
    "is_valid": ("val", "train"),
    "is_validation": ("val", "train"),
    "is_val": ("val", "train"),
    "is_test": ("test", "train"),
}
"""Columns of flags: the split of a row with a true flag, and of one with a false flag."""
TRUE, FALSE = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")


def assign_splits(
    cells: Sequence[Any],
    column: str,
    mapping: Mapping[str, Any] | None,
    where: str,
    reporter: Reporter,
    *,
    all_values: bool = True,
) -> list[str]:
    """The split of each row: train, val, test, or nothing for a row that `data.splits` leaves out.

    Args:
        cells: the N cells of the split column.
        column: its name.
        mapping: `data.splits`; None for the usual words.
        where: the table's name for messages.
        reporter: gets a note with what is left out.
        all_values: whether each value that `data.splits` names must be in the column.

    Raises:
        InputError: a value is no usual word, or `data.splits` is wrong.
    """
    texts = [_text(cell) for cell in cells]
    counts = Counter(texts)
    meaning = _mapped(mapping) if mapping is not None else _usual(counts, column)
    if mapping is None and (others := [text for text in counts if text not in meaning]):
        listed = ", ".join(f"{text or 'empty'} ({counted(counts[text], 'row')})" for text in sorted(counts))
        raise InputError(
            f"{where}: the column '{column}' has values that are no usual names of splits: {listed}; name the values "
            f"of each split with data.splits, such as {{train: [{others[0] or repr('')}]}}, or set data.split_column "
            "to another column, or to none"
        )
    if left_out := [text for text in sorted(counts) if text not in meaning]:
        listed = ", ".join(f"{text or 'empty'} ({counted(counts[text], 'row')})" for text in left_out)
        reporter.note(f"{where}: data.splits leaves out rows with {column} {listed}")
    for text in meaning if mapping is not None and all_values else ():
        if text not in counts:
            listed = ", ".join(sorted(counts))
            raise InputError(f"data.splits: no row of {where} has {column} {text or 'empty'}; it has {listed}")
    return [meaning.get(text, "") for text in texts]


def split_flags(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The split of each row, as a word, from several columns of flags such as `is_valid` and `is_test`.

    Args:
        columns: the N cells of each column, by its name.
    """
    meanings = [FLAG_COLUMNS[name.lower()][0] for name in columns]
    unmarked = "val" if "train" in meanings else "train"
    words = []
    for cells in zip(*columns.values(), strict=True):
        marked = {split for split, cell in zip(meanings, cells, strict=True) if _text(cell) in TRUE}
        words.append(next((split for split in ("test", "val", "train") if split in marked), unmarked))
    return words


def are_splits(cells: Sequence[Any]) -> bool:
    """Whether a column can only be one of splits: all cells are usual words, for two splits at least."""
    splits = {SPLIT_WORDS.get(_text(cell)) for cell in distinct(cells)}
    return None not in splits and len(splits) > 1


def _text(cell: Any) -> str:
    """A cell as the text that `data.splits` is compared with: 1, 1.0 and '1' are the same."""
    if is_missing(cell):
        return ""
    text = " ".join(str(cell).lower().split())
    return text.removesuffix(".0")


def _usual(counts: Mapping[str, int], column: str) -> dict[str, str]:
    """The split of each value that is a usual word; of each flag if the column is one of flags."""
    if column.lower() in FLAG_COLUMNS:
        yes, no = FLAG_COLUMNS[column.lower()]
        return dict.fromkeys(TRUE, yes) | dict.fromkeys(FALSE, no)
    return SPLIT_WORDS


def _mapped(mapping: Mapping[str, Any]) -> dict[str, str]:
    """The split of each value in `data.splits`.

    Raises:
        InputError: a split is unknown, or a value is in two of them.
    """
    meaning: dict[str, str] = {}
    for split, values in mapping.items():
        if split not in SPLITS:
            raise InputError(f"data.splits: unknown split '{split}'; valid: {', '.join(SPLITS)}")
        for value in values if isinstance(values, list) else [values]:
            text = _text(value)
            if meaning.setdefault(text, split) != split:
                raise InputError(f"data.splits: {value} is in {meaning[text]} and in {split}; name it once")
    return meaning
