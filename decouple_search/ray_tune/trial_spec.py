"""A trial's specification, and the only code that knows the dict in which Tune carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from decouple_search.space.objective import Objective


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """The configuration of a trial, and the checkpoint that it starts from."""

    number: int | None
    """The trial's number in the study. None after pbt gave the trial another config: it keeps its name."""
    config: Mapping[str, Any]
    """The complete configuration, dotted."""
    objectives: tuple[Objective, ...]
    """The objectives of the search."""
    checkpoint: str | None = None
    """The checkpoint to resume from; None to train from the beginning."""
    attempt: int = 0
    """How often the trial was requeued in this run of the search."""
    given_up: str | None = None
    """Why the trial is not trained: it lost workers too often."""
    repeat_of: int | None = None
    """The number of the finalist that the trial trains anew, in full; None for a trial of the search itself."""
    screened: bool = False
    """Whether the trial trains only a head, on feature maps."""

    def to_tune(self) -> dict[str, Any]:
        """The dict that Tune carries."""
        return {
            "number": self.number,
            "config": dict(self.config),
            "objectives": [list(objective) for objective in self.objectives],
            "checkpoint": self.checkpoint,
            "attempt": self.attempt,
            "given_up": self.given_up,
            "repeat_of": self.repeat_of,
            "screened": self.screened,
        }

    @classmethod
    def from_tune(cls, carried: Mapping[str, Any]) -> TrialSpec:
        """The specification in Tune's dict."""
        objectives = tuple(Objective(*objective) for objective in carried["objectives"])
        return cls(**{**carried, "objectives": objectives})

    def given_up_for(self, reason: str) -> TrialSpec:
        """The same trial, which is not to be trained."""
        return replace(self, given_up=reason)

    def explored(self, config: Mapping[str, Any]) -> TrialSpec:
        """Another trial's specification, made from this donor's: only its configuration and the objectives."""
        return TrialSpec(number=None, config=config, objectives=self.objectives)
