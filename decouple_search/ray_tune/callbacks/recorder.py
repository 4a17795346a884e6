"""Every epoch is in the study before anything else follows from it."""

from __future__ import annotations

from typing import Any

from ray.tune import Callback

from decouple_search.ray_tune.searcher import StudySearcher
from decouple_search.ray_tune.tune_result import from_tune


class EpochRecorder(Callback):
    """Records every epoch in the study at once.

    Tune itself holds back the epoch after which a trial is stopped until the trial's checkpoint is written. A search
    that is killed, or whose budget is used up, just then would lose that epoch.

    Args:
        searcher: the searcher that records.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        self._searcher = searcher

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Record an epoch."""
        self._searcher.record(trial.trial_id, from_tune(result))
