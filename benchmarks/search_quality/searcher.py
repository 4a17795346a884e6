"""What a search is to the benchmark: it suggests what to train next, and decides after each epoch of a trial."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Protocol

Verdict = Literal["continue", "pause", "stop"]
"""After an epoch: the trial trains the next one; its slot is free and it may go on later; or it never goes on."""


class Job(NamedTuple):
    """A trial to train now: a new one, or a paused one that goes on from its last epoch."""

    trial: int
    """The searcher's own id of the trial."""
    config: dict[str, Any]
    """The configuration. Parameters whose conditions do not hold are absent."""


class Searcher(Protocol):
    """A search that is driven from outside. More is better for all values."""

    def suggest(self) -> Job | None:
        """The trial for a free slot; None if there is nothing to do until a running trial reports."""

    def report(self, trial: int, epoch: int, value: float, seconds: float) -> Verdict:
        """Take the result of an epoch.

        Args:
            trial: the trial's id.
            epoch: the epoch, from 1. After the table's last epoch the trial ends, whatever the verdict.
            value: the measured value.
            seconds: duration of the epoch.
        """
