"""A study's journal file, read without changing it, and mended where a search goes on with it."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from decouple_search.study.journal_pieces import Piece, first_doubtful, split_journal
from decouplenet.errors import InputError

DAMAGED = ".damaged"
"""Follows a journal's name in the name of the file that its damaged lines are moved to; the time follows."""


@dataclass(frozen=True)
class Journal:
    """A journal as `read_journal` found it."""

    file: Path
    """The file."""
    content: bytes
    """Its content."""
    pieces: Sequence[Piece]
    """The records that make the study, and the damage."""
    storage: JournalStorage
    """The study of the records, in memory. It cannot be changed."""

    def mend(self) -> str:
        """Leave only whole records in the file, one per line. Other lines go into a new file beside it, as they are.

        The caller makes sure that no other process writes the file.

        Returns:
            A line about the damage; empty where there is none.

        Raises:
            OSError: the folder cannot be written. Then nothing is changed.
        """
        records = [piece.content for piece in self.pieces if piece.record is not None]
        mended = b"".join(record + b"\n" for record in records)
        if mended == self.content:
            return ""
        numbers, damaged = self._damaged_lines()
        if not numbers:  # only the end of the last line was missing
            _write({self.file: mended})
            return ""
        side = _new_name(self.file)
        _write({side: damaged, self.file: mended})
        damage = f"line {numbers[0]} was damaged and is"
        if len(numbers) > 1:
            damage = f"{len(numbers)} lines from line {numbers[0]} on were damaged and are"
        kept = "the whole record is kept" if len(records) == 1 else f"all {len(records)} whole records are kept"
        return f"{self.file.name}: {damage} now in {side.name}; {kept}"

    def _damaged_lines(self) -> tuple[list[int], bytes]:
        """The lines that are not one record each: their numbers, and their content."""
        lines = self.content.removesuffix(b"\n").split(b"\n")
        whole = {each.line for each in self.pieces if each.record is not None and each.content == lines[each.line - 1]}
        damaged = {number: line for number, line in enumerate(lines, start=1) if number not in whole}
        return list(damaged), b"".join(line + b"\n" for line in damaged.values())


def read_journal(file: Path) -> Journal:
    """A journal with all its whole records. The file is not changed, and another process may be writing it.

    Args:
        file: the journal.

    Raises:
        InputError: no record is whole, or records are doubtful because of damage before them.
        OSError: the file cannot be read.
    """
    content = file.read_bytes()
    pieces = split_journal(content)
    while True:
        _check(pieces, f"{file.parent.name}/{file.name}")
        backend = _Records([piece.record for piece in pieces if piece.record is not None])
        try:
            return Journal(file, content, pieces, JournalStorage(backend))
        except Exception:  # Optuna raises many kinds for a record whose entries are not as it wrote them
            refused = [piece for piece in pieces if piece.record is not None][backend.position]
            pieces = [piece._replace(record=None) if piece is refused else piece for piece in pieces]


def _check(pieces: Sequence[Piece], name: str) -> None:
    """Refuse a journal of which a study cannot be made."""
    if pieces and all(piece.record is None for piece in pieces):
        raise InputError(f"{name}: it has no whole record; put back a copy of it, or start anew with another --name")
    if damage := first_doubtful(pieces):
        later = sum(piece.record is not None for piece in pieces[pieces.index(damage) :])
        cut = f"cut the file before that line (whole records that this gives up: {later})"
        raise InputError(
            f"{name}, line {damage.line}: it is damaged, and the records after it may depend on it; put back a copy of "
            f"the file, or {'start anew with another --name' if damage is pieces[0] else cut}"
        )


class _Records(BaseJournalBackend):
    """The records of a journal in memory, to read."""

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        self._records = records
        self.position = 0
        """The place of the record that was given last."""

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        for position in range(log_number_from, len(self._records)):
            self.position = position
            yield self._records[position]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise PermissionError("this journal is only read")


def _new_name(file: Path) -> Path:
    """A name for the damaged lines of a file: with the time, as older ones may be in object storage only."""
    name = f"{file.name}{DAMAGED}-{datetime.now():%Y%m%d-%H%M%S}"
    names = [name, *(f"{name}-{number}" for number in range(2, 100))]
    return next(path for path in map(file.with_name, names) if not path.exists())


def _write(contents: Mapping[Path, bytes]) -> None:
    """Write files, all or none. Their contents are on the disk before an older file is replaced."""
    partial = {file: file.with_name(f".{file.name}.partial") for file in contents}
    try:
        for file, content in contents.items():
            with partial[file].open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        for file in contents:
            partial[file].replace(file)
    finally:
        for each in partial.values():
            each.unlink(missing_ok=True)
