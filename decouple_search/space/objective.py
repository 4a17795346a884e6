"""An objective: a measure that an epoch reports, and whether larger or smaller values are better."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

from decouplenet.config import EpochMeasure

Mode = Literal["max", "min"]

EPOCH_MEASURES: tuple[str, ...] = get_args(EpochMeasure)
"""Measures that differ from epoch to epoch, so that epochs can be compared by them."""
TRIAL_MEASURES = ("parameters", "latency_ms")
"""Measures that are the same in every epoch of a trial: the number of weights, milliseconds per image."""
OBJECTIVES = (*EPOCH_MEASURES, *TRIAL_MEASURES)
"""All measures that a search can optimise."""
MINIMISED = ("val_loss", "train_loss", "parameters", "latency_ms")
"""Measures of which less is better."""


class Objective(NamedTuple):
    """A measure, and which of its values is better."""

    metric: str
    """A name of `OBJECTIVES`."""
    mode: Mode
    """max or min."""

    @classmethod
    def natural(cls, metric: str) -> Objective:
        """The objective that a measure stands for: the lowest loss, size or latency, the highest of all else."""
        return cls(metric, "min" if metric in MINIMISED else "max")

    def utility(self, value: float) -> float:
        """The value as a number of which more is better."""
        return value if self.mode == "max" else -value

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value is better than another one. Any number is better than None, and NaN is never better."""
        return not math.isnan(value) and (than is None or self.utility(value) > self.utility(than))

    def __str__(self) -> str:
        return f"{self.mode} {self.metric}"
