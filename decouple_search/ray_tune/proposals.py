"""How many trials a searcher proposes, and how: what `StudySearcher` is given by a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from decouple_search.ray_tune.finals import Finals
from decouple_search.samplers.promotion import Promotions
from decouple_search.samplers.screening import Screening
from decouple_search.space.space import Space
from decouple_search.study.resume import ResumableTrial


def _ignore(number: int) -> None:
    """Keep the study's sampler."""


def from_beginning(number: int) -> ResumableTrial:
    """A trial that starts without a checkpoint."""
    return ResumableTrial(number, None, {})


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """How many trials a searcher proposes, and how."""

    trials: int
    """Trials in all, with those that are in the study."""
    slots: Callable[[], int]
    """Gives the number of trials that may run at the same time. The next trial is proposed when a slot is free, so
    that everything known by then counts."""
    prepare: Callable[[int], None] = _ignore
    """Called with a trial's number before the study proposes it; gives the study its sampler."""
    space_of: Callable[[int], Space] | None = None
    """Gives the space of a trial, by its number; None for the searched space itself. Its ranges may have grown."""
    resumable: Sequence[ResumableTrial] = ()
    """Trials of earlier runs that continue first."""
    resume_point: Callable[[int], ResumableTrial] = from_beginning
    """Gives where a requeued trial continues from, by its number."""
    is_over: Callable[[], bool] = _never
    """Whether the search proposes no more trials of its own, because its budget is used up."""
    promotions: Promotions | None = None
    """Chooses between new and paused trials; None if trials do not pause."""
    screening: Screening | None = None
    """Chooses between screened and full trials; None if no heads are screened."""
    finals: Finals | None = None
    """The finalists' trainings that follow the trials; None for none."""
