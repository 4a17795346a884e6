"""The messages between a training's workers and its driver. Only this module knows the dicts of Ray Train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Reason = Literal["", "notice", "time"]
"""Why an epoch was saved before its end: a machine is about to be taken away, or the epoch takes long."""


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """The settings that each worker of a training gets."""

    config: dict[str, Any]
    """The configuration, nested."""
    folder: str | None
    """The training's folder on a disk that all machines share; None in object storage."""
    checkpoint: str | None
    """The checkpoint to resume from where Ray Train knows of none."""
    extensions: bytes
    """The packed extensions of the driver."""

    def to_ray(self) -> dict[str, Any]:
        """The dict that Ray Train passes to a worker."""
        return vars(self)

    @classmethod
    def from_ray(cls, carried: dict[str, Any]) -> LoopSettings:
        """The settings in that dict."""
        return cls(**carried)


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """A worker's report, which comes with a checkpoint: an epoch, or a part of it."""

    epoch: int
    """Epochs that are finished."""
    step: int
    """Steps of the next epoch that are done."""
    workers: int
    """Workers that train."""
    measures: Mapping[str, Any] = field(default_factory=dict)
    """The measures of the epoch; empty for a part of an epoch."""
    note: str = ""
    """A remark on this training for the user, in one line; empty for none."""
    saved: Reason = ""
    """Why the epoch was saved before its end."""

    @property
    def is_epoch(self) -> bool:
        """Whether an epoch is finished."""
        return bool(self.measures)

    def to_ray(self) -> dict[str, Any]:
        """The dict that Ray Train carries, and that metrics.json of the checkpoint holds."""
        about = {"note": self.note} if self.note else {}
        reason = {} if self.is_epoch else {"saved": self.saved}
        return {"epoch": self.epoch, "step": self.step, "workers": self.workers, **self.measures, **about, **reason}

    @classmethod
    def from_ray(cls, carried: Mapping[str, Any]) -> TrainReport:
        """The report in that dict."""
        measures = dict(carried)
        about = {name: measures.pop(name) for name in ("epoch", "step", "workers", "note", "saved") if name in measures}
        return cls(**about, measures=measures)


@dataclass(frozen=True)
class WorkerLost:
    """The news that a worker was lost."""

    reason: str
    """Which worker, and why, in one line."""
