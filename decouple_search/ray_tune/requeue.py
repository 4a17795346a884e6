"""The trials that Tune gave up and that the searcher has to propose once more."""

from __future__ import annotations


class Requeue:
    """Tune's ids of trials that ended without a result of their own. Each comes back under another id.

    Schedulers, stoppers and losses mark a trial. The searcher and the callbacks ask whether a trial that ended is
    marked. Tune asks them after it has asked the scheduler.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def mark(self, trial_id: str) -> None:
        """The trial with this id is to be requeued when it ends."""
        self._ids.add(trial_id)

    def has(self, trial_id: str) -> bool:
        """Whether the trial with this id is requeued."""
        return trial_id in self._ids
