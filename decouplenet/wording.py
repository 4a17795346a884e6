"""Numbers and lists in messages. Imports nothing of the project."""

from __future__ import annotations

from collections.abc import Sequence

MAX_EXAMPLES = 3
"""Maximum number of examples in a message."""


def examples(items: Sequence[object]) -> str:
    """The first items of a list, and the number of the others: `a, b, c and 5 more`."""
    others = len(items) - MAX_EXAMPLES
    text = ", ".join(map(str, items[:MAX_EXAMPLES]))
    return f"{text} and {others} more" if others > 0 else text


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 image`, `3 images`."""
    return f"{count} {noun}{'s' * (count != 1)}"
