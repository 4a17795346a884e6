"""The trials that leave their slot without having ended: those that Tune gave up, and those that pause."""

from __future__ import annotations


class Requeue:
    """Tune's ids of trials that ended without a result of their own. Each comes back under another id.

    Schedulers, stoppers and losses mark a trial. The searcher and the callbacks ask whether a trial that ended is
    marked. Tune asks them after it has asked the scheduler.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._pausing: set[str] = set()

    def mark(self, trial_id: str) -> None:
        """The trial with this id is to be requeued when it ends."""
        self._ids.add(trial_id)

    def has(self, trial_id: str) -> bool:
        """Whether the trial with this id comes back under another id."""
        return trial_id in self._ids or trial_id in self._pausing

    def pause(self, trial_id: str) -> None:
        """The trial with this id leaves its slot, and goes on later if it earns it."""
        self._pausing.add(trial_id)

    def is_pausing(self, trial_id: str) -> bool:
        """Whether the trial with this id is to be paused."""
        return trial_id in self._pausing

    def keep(self, trial_id: str) -> None:
        """The trial with this id keeps its slot after all, because its pause was lost with a worker."""
        self._pausing.discard(trial_id)
