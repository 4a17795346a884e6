"""The rows of a table as they are in its file, by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rows:
    """N rows by column."""

    names: list[str]
    """The names of the columns."""
    columns: list[list[Any]]
    """The N cells of each column."""
    numbers: Sequence[int]
    """For messages, the N numbers of the rows in their file: lines of a text file, else from 1."""
    class_names: dict[str, list[str]] = field(default_factory=dict)
    """By column, the names of the classes that its numbers stand for, where the file says so."""
    flags: tuple[str, ...] = ()
    """The columns of flags in a file that does not name its columns."""

    def __len__(self) -> int:
        return len(self.numbers)

    def column(self, name: str) -> list[Any]:
        """The cells of a column."""
        return self.columns[self.names.index(name)]
