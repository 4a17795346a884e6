"""Where the readers of labels say what they see in the data: faults, and notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from decouplenet.errors import InputError

Say = Callable[[str], None]
"""Takes a message, one line."""


def refuse(fault: str) -> None:
    """Raise a fault as an `InputError`."""
    raise InputError(fault)


def ignore(note: str) -> None:
    """Drop a note."""


@dataclass(frozen=True)
class Reporter:
    """Takes the messages of a reader. By default, the first fault is raised and notes are dropped."""

    fault: Say = refuse
    """Called with each problem that makes labels wrong or an image unusable. It may raise. If it returns, reading
    continues without the faulty item."""
    note: Say = ignore
    """Called with each reading of the data that the user should know, such as the separator of labels."""


STRICT = Reporter()
"""Raises the first fault, and drops notes."""
