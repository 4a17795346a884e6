"""Which trial a free slot trains next: a new one, or a paused one that goes on.

At first few trials are known, and successive halving decides (ASHA, Li et al., 2020, the promotion variant): of
the trials that have reached a rung, the best `1/factor` go on. Once the model knows how curves go on, it decides by
expected improvement per cost: of a new trial, and of each paused trial, over several horizons.

    index = max over horizons h of  E[max(value at h - best value so far - margin, 0)] / ((h - epochs trained) · √cost)

The cost is that of an epoch beside a typical one (`costs.py`). To decide step by step which training goes on is
freeze-thaw Bayesian optimisation (Swersky et al., 2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from optuna import Study

from decouple_search.samplers.improvement import log_improvement
from decouple_search.samplers.study_model import StudyModel
from decouple_search.space.space import Space
from decouple_search.stopping.scheduler import PAUSED, Scheduler
from decouple_search.study.record import TrialRecord, all_trials, own_trials, search_trials

Array = NDArray[np.float64]

MARGIN = 0.1
"""Improvements are counted from this share of the model's scale above the best value. Without it the best trial would
keep its slot for the small gains of its last epochs, and a new trial that may gain much more would wait."""


def horizons(epochs: int) -> list[int]:
    """The numbers of further epochs over which an improvement is expected.

    Args:
        epochs: the epochs of a full training.
    """
    return sorted({min(each, epochs) for each in (1, 4, round(epochs / 3) or 1, epochs)})


def rung_promotion(
    curves: Mapping[int, Mapping[int, float]], paused: Sequence[int], rungs: Sequence[int], factor: float
) -> int | None:
    """The paused trial that ASHA promotes: of the highest rung that has one among its best `1/factor`, the best.

    Args:
        curves: curves by number; more is better.
        paused: numbers of the paused trials.
        rungs: the epochs at which trials are compared.
        factor: the reduction factor.
    """
    for rung, following in zip(reversed(rungs), reversed([*rungs[1:], math.inf]), strict=True):
        reached = sorted(((curve[rung], -number) for number, curve in curves.items() if rung in curve), reverse=True)
        for _, negative in reached[: int(len(reached) / factor)]:
            if -negative in paused and max(curves[-negative]) < following:
                return -negative
    return None


def index_promotion(
    model: StudyModel, paused: Sequence[int], epochs: int, rng: np.random.Generator | None
) -> int | None:
    """The paused trial with the largest expected improvement per cost; None if a new trial has a larger one.

    Args:
        model: of the study.
        paused: numbers of the paused trials that may go on.
        epochs: the epochs of a full training.
        rng: the generator of the new trial's proposal; None if there is no new trial any more.
    """
    if not paused:
        return None
    best = model.best_value + MARGIN * model.scale
    trained = np.array([model.trained(number) for number in paused], dtype=float)
    ahead = np.array(horizons(epochs), dtype=float)
    ends = np.minimum(trained[:, None] + ahead[None, :], epochs)
    gains = _gains(
        *model.expect([number for number in paused for _ in ahead], ends.ravel()),
        best,
        (ends - trained[:, None]).ravel(),
    )
    of_paused = gains.reshape(ends.shape).max(1) - model.log_divisors(paused)
    chosen = int(np.argmax(of_paused))
    if rng is None:
        return paused[chosen]
    point = model.proposal(rng)
    of_new = _gains(*model.expect_new(point, horizons(epochs)), best, ahead).max() - model.log_divisor_of_new(point)
    return paused[chosen] if of_paused[chosen] >= of_new else None


def _gains(mean: Array, deviation: Array, best: float, cost: Array) -> Array:
    gains: Array = log_improvement(mean, deviation, best) - np.log(cost)
    return gains


class Promotions:
    """Chooses what a free slot trains next, from the study alone.

    Args:
        study: the search's study.
        space_of: gives the searched space of a new trial, by its number; its ranges may have grown.
        scheduler: its rungs and pauses.
        epochs: the epochs of a full training.
        trials: the number of trials of the search.
        by_model: whether the model decides once it is informed; else rungs decide always.
        seed: the seed of the proposals that new trials are judged by.
    """

    def __init__(
        self,
        study: Study,
        space_of: Callable[[int], Space],
        scheduler: Scheduler,
        epochs: int,
        trials: int,
        *,
        by_model: bool,
        seed: int,
    ) -> None:
        self._study, self._space_of, self._scheduler = study, space_of, scheduler
        self._epochs, self._trials, self._by_model, self._seed = epochs, trials, by_model, seed
        self._last: tuple[tuple[Any, ...], int | Literal["new"] | None] | None = None  # the last choice, and for what
        self._allowed = scheduler.epochs_in_all(trials, epochs)[0]

    def next(self, leaving: int | None = None) -> int | Literal["new"] | None:
        """The number of a paused trial that goes on, "new" for a new trial, or None if nothing is left to start now.

        Args:
            leaving: a trial that could leave its slot now, and counts as paused.
        """
        own = own_trials(self._study)
        paused = [record.number for record in own if record.is_paused or record.number == leaving]
        training = [record.number for record in own if record.is_training and record.number != leaving]
        known = (len(own), sum(record.epochs for record in own), tuple(paused), tuple(training))
        if self._last is None or self._last[0] != known:  # a trial that left is asked for once more by the free slot
            self._last = known, self._choice(own, paused, training)
        return self._last[1]

    def affords(self, number: int) -> bool:
        """Whether a trial may go on in its slot, with the epochs that the search has left."""
        own = own_trials(self._study)
        training = [record.number for record in own if record.is_training and record.number != number]
        return bool(self._affordable(own, [number], training, self._trials - len(own)))

    def _choice(
        self, own: Sequence[TrialRecord], paused: Sequence[int], training: Sequence[int]
    ) -> int | Literal["new"] | None:
        unstarted = self._trials - len(own)
        affordable = self._affordable(own, paused, training, unstarted)
        if not affordable:
            return "new" if unstarted > 0 else None
        records = search_trials(self._study)
        model = StudyModel(self._study, records, self._space_of(len(all_trials(self._study))), self._epochs, training)
        if self._by_model and model.informed:
            rng = np.random.default_rng((self._seed, sum(record.epochs for record in own)))
            chosen = index_promotion(model, affordable, self._epochs, rng if unstarted > 0 else None)
        else:
            curves = {curve.number: curve.values for curve in model.curves}
            factor = self._scheduler.reduction_factor
            chosen = rung_promotion(curves, affordable, self._scheduler.rungs(self._epochs), factor)
            if chosen is None and unstarted <= 0:  # there are too few trials for a rung to let one through
                chosen = max(affordable, key=lambda number: sorted(curves[number].items())[-1])
        return "new" if chosen is None else chosen

    def hopeless(self) -> list[int]:
        """The numbers of the paused trials beyond the best `PAUSED`: their checkpoints are not worth their place."""
        records = search_trials(self._study)
        paused = [record.number for record in records if record.is_paused]
        if len(paused) <= PAUSED:
            return []
        model = StudyModel(self._study, records, self._space_of(len(all_trials(self._study))), self._epochs)
        if self._by_model and model.informed:
            promise = log_improvement(*model.expect(paused, np.full(len(paused), self._epochs)), model.best_value)
        else:
            reached = {curve.number: sorted(curve.values.items())[-1] for curve in model.curves}
            order = sorted(paused, key=lambda number: reached[number])
            promise = np.array([order.index(number) for number in paused], dtype=float)
        return [paused[place] for place in np.argsort(promise)[: len(paused) - PAUSED]]

    def _affordable(
        self, own: Sequence[TrialRecord], paused: Sequence[int], training: Sequence[int], unstarted: int
    ) -> list[int]:
        """The paused trials for whose next epochs the search has epochs left.

        Each new trial has its first epochs for certain, and so has the furthest trial its last ones, because a search
        goes on until a trial is trained in full.
        """
        epochs = {record.number: record.epochs for record in own}
        ends = {number: self._scheduler.next_pause(epochs[number], self._epochs) for number in epochs}
        spent = sum((ends if number in training else epochs)[number] for number in epochs)
        left = self._allowed - spent - max(unstarted, 0) * self._scheduler.grace_epochs
        reached = {
            record.number: record.epochs
            for record in own
            if record.is_paused or record.is_training or record.epochs >= self._epochs
        }
        furthest = max([*reached.values(), *(ends[number] for number in training)], default=0)
        within = [
            number
            for number in paused
            if ends[number] - epochs[number] + self._epochs - max(furthest, ends[number]) <= left
        ]
        if within or unstarted > 0 or training or furthest >= self._epochs:
            return within
        return [number for number in paused if reached[number] == furthest]  # failed trials took its epochs
