"""The search that goes on where a range ends: the command with wider ranges, and notes that give it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from decouple_search.space.ranges import Ends, shown
from decouplenet.command_line import command_name

if TYPE_CHECKING:
    from decouple_search.study.ranges import Edge

REPLACED = ("--name", "--resume", "--ranges", "--warm-start")
"""Flags of the first search that the wider one gives itself, or that no longer hold."""


@dataclass(frozen=True, kw_only=True)
class WiderSearch:
    """How a user starts the same search with wider ranges."""

    words: tuple[str, ...] | None
    """The words after `tune` that started this search; None for a search from Python."""
    ranges: Mapping[str, Any]
    """The ends that `--ranges` gave this search."""
    name: str | None
    """The name that the user gave this search."""
    must_resume: bool
    """Whether this search was to resume an earlier one."""
    warm_start: str | None
    """This search's folder; None where no other search can import its trials."""

    def command(self, wider: Mapping[str, Ends]) -> str:
        """The command, or its Python, that searches wider ranges.

        Args:
            wider: the new ends by key.
        """
        ranges = {**self.ranges, **wider}
        if self.words is None:
            ends = ", ".join(f"{key!r}: {shown(each)}" for key, each in ranges.items())
            start = f", warm_start={self.warm_start!r}" if self.warm_start else ""
            return f"search(..., ranges={{{ends}}}{start})"
        text = "{" + ", ".join(f"{key}: {shown(each)}" for key, each in ranges.items()) + "}"
        words = [*_without(self.words, REPLACED), *(["--name", f"{self.name}-wider"] if self.name else [])]
        words += [*(["--resume", "auto"] if self.must_resume else []), "--ranges", text]
        words += ["--warm-start", self.warm_start] if self.warm_start else []
        return f"{command_name('tune', 'decouple_search.tune')} {shlex.join(words)}"

    def note(self, edge: Edge) -> str:
        """The note on a value that stays at an end while the search runs."""
        return f"{edge}; to search wider after this search: {self.command({edge.key: edge.wider})}"

    def notes(self, edges: Sequence[Edge]) -> list[str]:
        """The notes on a search that has ended; the last one has the command for all ranges."""
        if not edges:
            return []
        *others, last = map(str, edges)
        return [*others, f"{last}; search wider: {self.command({edge.key: edge.wider for edge in edges})}"]


def _without(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The words without some flags and their values, given as `--flag value` or `--flag=value`."""
    kept, skip = list[str](), False
    for word in words:
        if skip:
            skip = False
        elif word in flags:
            skip = True
        elif not word.startswith(tuple(f"{flag}=" for flag in flags)):
            kept.append(word)
    return kept
