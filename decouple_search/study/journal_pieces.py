"""The records in the bytes of a study's journal, and the damage between them. A journal has one JSON record per line.

A killed process leaves half a record, a power failure leaves zeros, and an editor leaves empty or joined lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from decouple_search.study.compat import RECORD_START, is_record, writer_of


class Piece(NamedTuple):
    """A record of a journal, or bytes that are none."""

    line: int
    """Its line in the file, from 1."""
    content: bytes
    """Its bytes. Those of a record that has a line to itself are the whole line."""
    record: dict[str, Any] | None
    """The record; None for damage."""


def split_journal(content: bytes) -> list[Piece]:
    """The pieces of a journal in their order. Empty lines are no pieces, because nothing was in them.

    Args:
        content: the content of the file. Its last line may lack its end.
    """
    lines = enumerate(content.split(b"\n"), start=1)
    return [piece for number, line in lines for piece in _pieces(line, number)]


def first_doubtful(pieces: Sequence[Piece]) -> Piece | None:
    """The damage before the first record that may depend on it; None where all records can be kept.

    A record stands for a change of what the records before it say: trials have no numbers in a journal, they count
    from its start. So a process that wrote before the damage may have written a record that is damaged now, and its
    later records may depend on that. A process that wrote only after the damage did not depend on it, as Optuna does
    not read beyond damage. The first record makes the study, so nothing stands without it.

    Args:
        pieces: all pieces of a journal.
    """
    damage: Piece | None = None
    writers, doubtful = set[str](), set[str]()
    for piece in pieces:
        if piece.record is None:
            damage, doubtful = piece, set(writers)
        elif damage and (not writers or writer_of(piece.record) in doubtful):
            return damage
        else:
            writers.add(writer_of(piece.record))
    return None


def _pieces(line: bytes, number: int) -> Iterator[Piece]:
    if (record := _record(line)) is not None:
        yield Piece(number, line, record)
        return
    position = 0
    while position < len(line):
        start, end = _next_record(line, position)
        if damage := line[position:start].strip():
            yield Piece(number, damage, None)
        if start < end:
            yield Piece(number, line[start:end], _record(line[start:end]))  # its beginning alone makes no record
        position = end


def _record(text: bytes) -> dict[str, Any] | None:
    """The record that a text is, read as Optuna reads a line; None if it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if is_record(value) else None


def _next_record(line: bytes, position: int) -> tuple[int, int]:
    """The start and the end of the next JSON that begins as a record does; the line's end twice if there is none."""
    text = line.decode("latin-1")  # a byte is a character, so places in the text are places in the line
    while (start := text.find(RECORD_START, position)) >= 0:
        try:
            return start, json.JSONDecoder().raw_decode(text, start)[1]
        except (ValueError, RecursionError):
            position = start + 1
    return len(line), len(line)
