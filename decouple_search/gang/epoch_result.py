"""A gang's report on an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """The result of an epoch, or the reason why there is none."""

    epoch: int
    """The number of the last epoch that ended, from 1; 0 before."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Measures by name, such as `val_map`, `train_loss`, `images_per_second`; empty after a failure."""
    note: str = ""
    """A remark on this training for the user, in one line; empty for none."""
    lineage: tuple[str, ...] = ()
    """The trials and epochs that the weights came from (pbt), oldest first."""
    failure: str | None = None
    """Why the trial failed."""
    missing_folder: str | None = None
    """Why no trial can run on this machine: it does not share the search's folder."""
    screened: bool = False
    """Whether the trial trains only a head, on feature maps."""
    config: Mapping[str, Any] | None = None
    """The configuration that trained the epoch, dotted; None where the host does not say."""

    @property
    def seconds(self) -> float:
        """Seconds of training and evaluation."""
        return self.measures.get("train_seconds", 0.0) + self.measures.get("eval_seconds", 0.0)
