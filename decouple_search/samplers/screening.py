"""Whether a free slot screens a head or trains a trial in full, and which head is next. All follows from the study.

A search with a given number of screened trials has them first. With `auto`, heads are screened until the first full
trial starts, while it has no value yet, and then whenever a screened head is worth more per second than a full trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from optuna import Study

from decouple_search.samplers.improvement import log_improvement
from decouple_search.samplers.screen_model import MIN_SCREENED, ScreenModel
from decouple_search.samplers.study_model import StudyModel
from decouple_search.space.screen import MOST_SCREENED, ScreenPlan
from decouple_search.space.space import Space
from decouple_search.study.record import TrialRecord, known_heads, own_trials, screened_trials, search_trials
from decouple_search.study.screened import add_screened

FIRST = MIN_SCREENED
"""auto: heads that have a value before the first full trial starts. Its head is the best of them."""
_STREAM = 20
"""Keeps the draws of heads apart from other draws from the same seed."""


class Screening:
    """Chooses between screened and full trials, and adds screened ones to the study.

    Args:
        study: the search's study.
        space: the searched space.
        plan: how many heads are screened, and for how long.
        epochs: the epochs of a full training.
        seed: the seed of the search.
    """

    def __init__(self, study: Study, space: Space, plan: ScreenPlan, *, epochs: int, seed: int) -> None:
        self._study, self._space, self._plan, self._epochs, self._seed = study, space, plan, epochs, seed

    def is_next(self, *, instead_of_new: bool) -> bool:
        """Whether the next free slot screens a head.

        Args:
            instead_of_new: whether it would train a new full trial otherwise, not go on with a paused one.
        """
        screened, own = screened_trials(self._study), own_trials(self._study)
        if self._plan.count is not None or len(screened) >= MOST_SCREENED:
            return len(screened) < (self._plan.count or 0)
        if not own:
            return sum(trial.measured for trial in known_heads(self._study)) < FIRST
        if not any(trial.measured for trial in own):
            return True
        return instead_of_new and self._is_worth_more()

    def begin(self) -> int:
        """Add the next screened trial to the study, running; returns its number."""
        started = len(screened_trials(self._study))
        heads = self._space.heads
        assert heads is not None  # noqa: S101 - a request without such keys is refused
        if started < len(heads.start):
            head = heads.checked_start()[started]
            head = heads.filled(heads.draw_all(self._rng(started)) | head)
        else:
            head = ScreenModel(self._study, self._space, heads).proposal(self._rng(started), started)
        return add_screened(self._study, heads, head, self._plan.epochs)

    def _rng(self, started: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, _STREAM, started])

    def _is_worth_more(self) -> bool:
        """Whether a screened head raises the best expectation, per second, more than a full trial the best value.

        A screened head is worth what it may raise the expectation of a full trial with it, above the best that is
        known (a knowledge gradient: Frazier et al., 2009, "The knowledge-gradient policy for correlated normal
        beliefs").
        """
        screen, own = ScreenModel.of(self._study, self._space), own_trials(self._study)
        model = StudyModel(self._study, search_trials(self._study), self._space, self._epochs)
        if screen is None or not model.informed:
            return False
        rng, last = self._rng(MOST_SCREENED), [self._epochs]
        full = model.expect_new(model.proposal(rng), last)
        screened = screen.proposal(rng, 0)
        mean, change = model.expect_new(screened, last)[0], np.array([model.change_by_screening(screened)])
        of_screened = log_improvement(mean, np.maximum(change, 1e-9), max(model.best_expected, float(full[0][0])))
        of_full = log_improvement(*full, model.best_expected)
        of_screened -= math.log(self._plan.epochs * _epoch_seconds(screened_trials(self._study)))
        of_full -= math.log(self._epochs * _epoch_seconds(own))
        return bool(of_screened[0] > of_full[0])


def _epoch_seconds(trials: Sequence[TrialRecord]) -> float:
    """The mean seconds of an epoch of trials."""
    seconds = sum(trial.seconds for trial in trials)
    return max(seconds, 1e-3) / max(sum(trial.epochs for trial in trials), 1)
