"""What the labels of a table mean: columns of flags, vectors of flags, or names of classes in a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.class_file import Classes
from decouplenet.data.classes import note_similar
from decouplenet.data.reporter import Reporter
from decouplenet.data.tables.cells import NO_CLASS, example_of, find_separator, labels_in
from decouplenet.data.tables.flags import (
    NUMBERS,
    FlagMeaning,
    distinct,
    flag_word,
    has_minus,
    meaning_of,
    read_flags,
    vectors_in,
)
from decouplenet.errors import InputError
from decouplenet.wording import counted, examples


@dataclass(frozen=True)
class Reading:
    """How the labels of a table are read. A table for validation is read like that for training."""

    separator: str | None = None
    """Names: the text between them; " " for any number of blanks, None if a cell is a single name."""
    meaning: FlagMeaning | None = None
    """Flags: what -1 and empty cells mean."""
    first: int | None = None
    """Numbers of classes: the number of the first class, 0 or 1."""


@dataclass(frozen=True)
class Labels:
    """The labels of N rows."""

    class_names: tuple[str, ...]
    """C names."""
    present: NDArray[np.bool_]
    """N×C, whether a row has a class."""
    unknown: NDArray[np.bool_] | None
    """N×C, whether nothing is known of a row and a class; None if everything is known."""
    reading: Reading
    """How they were read."""
    declared: bool
    """Whether the table names the classes, so that they are the same for all its rows."""

    def rows(self, indices: Sequence[int] | NDArray[np.int64]) -> Labels:
        """The labels of some rows. Without declared classes, they have the classes that these rows have."""
        present = self.present[indices]
        unknown = None if self.unknown is None else self.unknown[indices]
        if self.declared:
            return replace(self, present=present, unknown=unknown)
        kept = np.flatnonzero(present.any(0))
        unknown = None if unknown is None else unknown[:, kept]
        names = tuple(self.class_names[i] for i in kept)
        return replace(self, class_names=names, present=present[:, kept], unknown=unknown)


def flag_labels(
    names: Sequence[str], columns: Sequence[Sequence[Any]], reading: Reading | None, where: str, reporter: Reporter
) -> Labels:
    """The labels in one column of flags per class.

    Args:
        names: C names of classes, for messages and for the result.
        columns: C columns of N cells.
        reading: how another table is read like which this one is read; None to find out.
        where: the table's name for messages.
        reporter: gets faults and notes.

    Raises:
        InputError: a cell is no flag.
    """
    meaning = (reading and reading.meaning) or meaning_of(columns)
    count = len(columns[0]) if columns else 0
    present, unknown = np.zeros((count, len(names)), bool), np.zeros((count, len(names)), bool)
    for i, (name, column) in enumerate(zip(names, columns, strict=True)):
        try:
            present[:, i], unknown[:, i] = read_flags(column, meaning)
        except ValueError as error:
            raise InputError(f"{where}, column '{name}': {error}") from None
    if has_minus(columns):
        effect = "the class is absent" if meaning.minus == "absent" else "nothing is known (data.unknown)"
        reporter.note(f"{where}: -1 means that {effect}")
    if meaning.blank == "unknown" and any(flag_word(cell) == "" for column in columns for cell in distinct(column)):
        reporter.note(f"{where}: an empty cell means that nothing is known (data.unknown)")
    for name, count_ in Counter(names).items():
        if count_ > 1:
            reporter.fault(f"{where} has {count_} columns '{name}'; give each its own name")
    if not present.any():
        raise InputError(f"{where} has no label in any row; check the columns of labels")
    return Labels(tuple(names), present, unknown if unknown.any() else None, Reading(meaning=meaning), declared=True)


def cell_labels(
    column: str,
    cells: Sequence[Any],
    numbers: Sequence[int],
    *,
    stated: Sequence[str],
    classes: Classes | None,
    separator: str | None,
    single: bool,
    reading: Reading | None,
    where: str,
    reporter: Reporter,
) -> Labels:
    """The labels in a single column: vectors of flags, or names or numbers of classes.

    Args:
        column: the column's name.
        cells: its N cells.
        numbers: N numbers of the rows in the file, for messages.
        stated: the names that the file states for the numbers of classes; may be empty.
        classes: `data.classes`.
        separator: `data.label_separator`.
        single: whether each cell has one label, as the table has one row per label.
        reading: how another table is read like which this one is read; None to find out.
        where: the table's name for messages.
        reporter: gets faults and notes.

    Raises:
        InputError: the labels cannot be understood, or there are none.
    """
    names = tuple(classes.names if classes else stated)
    if vectors := vectors_in(cells):
        length = len(vectors[0])
        if length > 2 or (not stated and len(names) in (0, 2)):  # two numbers may also be a list of classes
            return _vector_labels(column, vectors, names, reading, where, reporter)
    if reading is None or reading.meaning is not None:
        reading = Reading(separator or (None if single or _are_names(cells, names) else find_separator(cells)))
    words = _words(cells, numbers, reading.separator, where, reporter)
    words = _without_missing(words, column, where, reporter)
    words, reading = _named(words, column, names, classes, reading, where, reporter)
    present_names = sorted({word for row in words for word in row})
    if not present_names:
        raise InputError(f"{where} has no label in any row; check data.label_column")
    present = _matrix(words, present_names)
    _note_names(cells, present_names, column, reading, where, reporter)
    labels = Labels(tuple(present_names), present, None, reading, declared=False)
    return _with_stated(labels, stated) if stated and not classes else labels


def with_unknown(labels: Labels, cells: Sequence[Any]) -> Labels:
    """The labels with those of a column of which nothing is known; other names in it are left out.

    Args:
        labels: the labels of N rows.
        cells: N cells with names of classes.
    """
    sign = labels.reading.separator
    words = [[] if not isinstance(cell, str) else [cell] if sign is None else cell.split(sign) for cell in cells]
    unknown = _matrix([[word.strip() for word in row] for row in words], labels.class_names) & ~labels.present
    return replace(labels, unknown=unknown) if unknown.any() else labels


def _are_names(cells: Sequence[Any], names: Sequence[str]) -> bool:
    """Whether all cells that are not empty are names of classes as they stand, so that signs in them separate nothing.

    Args:
        cells: N cells.
        names: the names of the classes; may be empty.
    """
    texts = {cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()}
    return bool(texts) and texts <= set(names)


def _words(
    cells: Sequence[Any], numbers: Sequence[int], separator: str | None, where: str, reporter: Reporter
) -> list[list[str]]:
    """The labels in each cell."""
    words: list[list[str]] = []
    for number, cell in zip(numbers, cells, strict=True):
        try:
            words.append([" ".join(word.split()) for word in labels_in(cell, separator)])
        except ValueError as error:
            reporter.fault(f"{where}, row {number}: {error}")
            words.append([])
    return words


def _matrix(words: Sequence[Sequence[str]], names: Sequence[str]) -> NDArray[np.bool_]:
    """Which of C names each of N rows has, N×C. Other words are left out."""
    index = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(words), len(names)), bool)
    for i, row in enumerate(words):
        matrix[i, [index[word] for word in row if word in index]] = True
    return matrix


def _vector_labels(
    column: str,
    vectors: Sequence[Sequence[str]],
    names: tuple[str, ...],
    reading: Reading | None,
    where: str,
    reporter: Reporter,
) -> Labels:
    length = len(vectors[0])
    if names and len(names) != length:
        raise InputError(
            f"{where}: the cells of '{column}' are vectors of {length} flags, but data.classes has {len(names)} "
            f"classes; give {length} names"
        )
    names = names or tuple(f"class_{i}" for i in range(length))
    reporter.note(
        f"{where}: the cells of '{column}' are vectors of {length} flags, for {examples(names)}"
        + ("; data.classes can name them" if names[0] == "class_0" else "")
    )
    columns = [[vector[i] for vector in vectors] for i in range(length)]
    return flag_labels(names, columns, reading, where, reporter)


def _without_missing(words: list[list[str]], column: str, where: str, reporter: Reporter) -> list[list[str]]:
    """The labels without the words that programs write for a missing value."""
    dropped = Counter(word for row in words for word in row if word.lower() in NO_CLASS)
    if dropped:
        listed = ", ".join(f"'{word}' ({counted(count, 'time')})" for word, count in sorted(dropped.items()))
        reporter.note(f"{where}: {listed} in '{column}' is no class, and is left out")
    return [[word for word in row if word.lower() not in NO_CLASS] for row in words]


def _named(
    words: list[list[str]],
    column: str,
    names: tuple[str, ...],
    classes: Classes | None,
    reading: Reading,
    where: str,
    reporter: Reporter,
) -> tuple[list[list[str]], Reading]:
    """The labels with numbers and codes of classes replaced by their names, and how they are read.

    Raises:
        InputError: numbers are out of range, or are flags or measurements.
    """
    distinct_words = {word for row in words for word in row}
    codes = dict(classes.codes) if classes else {}
    if _are_numbers(distinct_words, names):
        if not codes:
            reading = replace(reading, first=_first_number(distinct_words, names, reading, where, reporter))
            codes = {str(i): name for i, name in enumerate(names, start=reading.first or 0)}
        codes = _names_of_numbers(distinct_words, codes, where)
    elif not names or not distinct_words & set(names):
        _check_words(distinct_words, column, names, where, reporter)
    return [[codes.get(word, word) for word in row] for row in words], reading


def _are_numbers(words: set[str], names: Sequence[str]) -> bool:
    """Whether labels are numbers that stand for names."""
    if not words or not names or words & set(names):
        return False
    return all(word.removesuffix(".0").isdecimal() for word in words)


def _first_number(words: set[str], names: Sequence[str], reading: Reading, where: str, reporter: Reporter) -> int:
    """The number of the first class: 0, or 1 if no other reading is possible. Another table's is kept."""
    values = [int(word.removesuffix(".0")) for word in words]
    first = reading.first
    if first is None:
        first = 1 if min(values) >= 1 and max(values) == len(names) else 0
    if max(values) - first >= len(names):
        raise InputError(
            f"{where}: the label {max(values)} is out of range, because there are {len(names)} classes, counted from "
            f"{first}; give all classes with data.classes"
        )
    reporter.note(f"{where}: labels are numbers of classes, counted from {first}: {first} is '{names[0]}'")
    return first


def _names_of_numbers(words: set[str], codes: Mapping[str, str], where: str) -> dict[str, str]:
    """The name for each number.

    Raises:
        InputError: a number has no name.
    """
    values = {word: str(int(word.removesuffix(".0"))) for word in words}
    if unknown := sorted(int(value) for value in values.values() if value not in codes):
        raise InputError(f"{where}: the label {unknown[0]} is not one of the numbers of data.classes; give all classes")
    return {word: codes[value] for word, value in values.items()}


def _check_words(words: set[str], column: str, names: Sequence[str], where: str, reporter: Reporter) -> None:
    """Refuse labels that are flags or measurements, and note numbers without names.

    Raises:
        InputError: the labels are no names of classes.
    """
    if words and {flag_word(word) for word in words} <= NUMBERS:
        raise InputError(
            f"{where}: the cells of '{column}' are only {' and '.join(sorted(words))}, so it is a column of flags or "
            f"of numbers of classes; name the columns of flags with data.label_columns, such as [{column}], or the "
            "classes 0 and 1 with data.classes"
        )
    if words and not names and all(word.isdecimal() for word in words):
        reporter.note(f"{where}: the labels in '{column}' are numbers, such as {min(words)}; data.classes names them")
    elif words and all(map(_is_number, words)):
        raise InputError(
            f"{where}: the cells of '{column}' are numbers such as {min(words)}, and no classes; name another column "
            "with data.label_column"
        )


def _is_number(word: str) -> bool:
    """Whether a word is a number with a fraction or an exponent, or not finite."""
    try:
        float(word)
    except ValueError:
        return False
    return not word.isdecimal()


def _note_names(
    cells: Sequence[Any], names: Sequence[str], column: str, reading: Reading, where: str, reporter: Reporter
) -> None:
    """Note how names were separated, and names that may be the same class."""
    sign = reading.separator
    several = example_of(cells, sign, several=True)
    blank = example_of(cells, sign, several=False) if sign is None else None
    if several is not None:
        between = "blanks" if sign == " " else repr(sign)
        listed = ", ".join(map(repr, labels_in(several, sign)[:4]))
        reporter.note(f"{where}: labels in '{column}' are separated by {between}: '{several[:60]}' is {listed}")
    elif blank is not None:
        reporter.note(
            f"{where}: each cell of '{column}' is a single label, such as '{blank[:60]}'; if blanks separate labels, "
            'set data.label_separator to " "'
        )
    raw = sum(isinstance(cell, str) and (cell != cell.strip() or "\n" in cell) and cell.strip() != "" for cell in cells)
    if raw:
        reporter.note(f"{where}: line breaks and outer blanks in {counted(raw, 'cell')} of '{column}' are left out")
    note_similar(names, where, reporter)


def _with_stated(labels: Labels, stated: Sequence[str]) -> Labels:
    """The labels with all classes that the file states, in its order."""
    if not set(labels.class_names) <= set(stated):
        return labels
    present = np.zeros((len(labels.present), len(stated)), bool)
    present[:, [list(stated).index(name) for name in labels.class_names]] = labels.present
    return replace(labels, class_names=tuple(stated), present=present, declared=True)
