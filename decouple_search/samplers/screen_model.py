"""What the screened trials of a study say of heads: a model of their curves, over what a frozen backbone can judge.

A screened value is not a full one. The model of full trials takes what is expected here as a part of its own
expectation, with a weight that it fits (Kennedy and O'Hagan, 2000, "Predicting the output from a complex computer code
when fast approximations are available", the autoregressive model).

Shapes: q configurations, c columns of rows of the whole space.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.trial import TrialState

from decouple_search.samplers.curves import Observations, curves_of
from decouple_search.samplers.encoding import Encoding
from decouple_search.samplers.fitting import FittedModel, fit
from decouple_search.samplers.improvement import Candidates, log_improvement
from decouple_search.space.space import Space
from decouple_search.study.record import Fit, StudyRecord, known_heads, screened_trials
from decouplenet.config import FACTS

Array = NDArray[np.float64]

MIN_SCREENED = 8
"""Screened trials with a value before their model counts. Until then heads are drawn at random."""
RANDOM_EVERY = 6
"""One screened trial in this many is random, so that a wrong model meets what it does not expect."""
GOOD = 6
"""Screened trials whose neighbours are candidates for the next one: those that are expected to be the best."""


@dataclass
class _Known:
    """The last model of a study's screened trials, which costs time to fit."""

    observed: tuple[Any, ...] = ()
    fitted: FittedModel | None = None


_known: WeakKeyDictionary[Study, _Known] = WeakKeyDictionary()


class ScreenModel:
    """The screened trials of a study, and a model of their curves. More is better.

    Args:
        study: the search's study.
        space: the searched space.
        heads: the part of it that can be screened.
    """

    def __init__(self, study: Study, space: Space, heads: Space) -> None:
        self._study, self._heads, self._encoding = study, heads, Encoding(heads)
        trials = known_heads(study)
        self._epochs = max((trial.screen_epochs or 0 for trial in trials), default=1)
        self._curves = curves_of(trials, heads, self._epochs)
        judged = [not FACTS[parameter.key].images_only for parameter in space.parameters]
        self._columns = np.array(judged)[Encoding(space).owners]

    @classmethod
    def of(cls, study: Study, space: Space) -> ScreenModel | None:
        """The model of a study; None if it has too few screened trials."""
        values = sum(trial.measured for trial in known_heads(study))
        heads = space.heads if values >= MIN_SCREENED else None
        return None if heads is None else cls(study, space, heads)

    @property
    def observations(self) -> int:
        """The number of values that the model has."""
        return sum(len(curve.values) for curve in self._curves)

    def expect(self, rows: Array) -> tuple[Array, Array]:
        """Expected values of configurations at the last epoch of a screened trial, and their standard deviations.

        Args:
            rows: q×c, in the columns of the whole space.
        """
        last = np.full(len(rows), float(self._epochs))
        return self._restored(*self._fitted.model.expect(rows[:, self._columns], last))

    def change_by_value(self, rows: Array) -> Array:
        """By how much a screened value of each configuration may change its expected one: standard deviations.

        Args:
            rows: q×c, in the columns of the whole space.
        """
        own, last = rows[:, self._columns], np.full(len(rows), float(self._epochs))
        model = self._fitted.model
        return self._restored(model.expect(own, last)[0], model.change_by_value(own, last))[1]

    def best_first(self) -> list[dict[str, Any]]:
        """The screened heads, the best expectation at the last epoch, less one standard deviation, first."""
        last = np.full(len(self._curves), float(self._epochs))
        places = np.arange(len(self._curves))
        mean, deviation = self._restored(*self._fitted.model.expect(self._rows, last, places))
        order = np.argsort(-(mean - deviation), kind="stable")
        return [dict(self._curves[place].point) for place in order]

    def proposal(self, rng: np.random.Generator, number: int) -> dict[str, Any]:
        """The head to screen next: the largest expected improvement over the best expectation. Some are random.

        Args:
            rng: the generator of candidates.
            number: how many have been screened before.
        """
        tried = [trial.frozen.params for trial in known_heads(self._study)]
        units = self._encoding.units(tried).reshape(len(tried), len(self._heads.parameters))
        candidates = Candidates(self._encoding, self._encoding.rows(units), rng)
        if len(self._curves) < MIN_SCREENED or number % RANDOM_EVERY == RANDOM_EVERY - 1:
            return candidates.random()
        model, last = self._fitted.model, float(self._epochs)
        if running := screened_trials(self._study, [TrialState.RUNNING]):
            units = self._encoding.units([trial.frozen.params for trial in running])
            places = {curve.number: place for place, curve in enumerate(self._curves)}
            at = np.array([places.get(trial.number, -1) for trial in running], dtype=np.intp)
            model = model.with_pending(self._encoding.rows(units), np.full(len(running), last), at)
        expected, _ = model.expect(self._rows, np.full(len(self._rows), last), np.arange(len(self._rows)))
        best = float(expected.max())

        def score(rows: Array) -> Array:
            return log_improvement(*model.expect(rows, np.full(len(rows), last)), best)

        return candidates.best(score, self._units[np.argsort(-expected)[:GOOD]])

    def _restored(self, mean: Array, deviation: Array) -> tuple[Array, Array]:
        """Expected values and deviations in the unit of the curves."""
        warp = self._fitted.warp
        low, high = warp.restored(mean - deviation), warp.restored(mean + deviation)
        return warp.restored(mean), np.maximum((high - low) / 2, 1e-6)

    @cached_property
    def _units(self) -> Array:
        return self._encoding.units([curve.point for curve in self._curves])

    @cached_property
    def _rows(self) -> Array:
        return self._encoding.rows(self._units)

    @cached_property
    def _fitted(self) -> FittedModel:
        record, observed = StudyRecord(self._study), Observations.of_curves(self._curves)
        numbers = tuple(curve.number for curve in self._curves)
        content = (self._epochs, self._heads.keys, numbers, observed.epochs.tobytes(), observed.values.tobytes())
        known = _known.setdefault(self._study, _Known())
        if known.fitted is None or known.observed != content:
            last = record.screen_fit
            if last is not None and last.keys != list(self._heads.keys):
                last = None
            fitted = fit(self._rows, self._encoding.owners, observed, self._epochs, last)
            if fitted.is_new:
                theta = fitted.model.hyperparameters.vector.tolist()
                record.screen_fit = Fit(len(observed.values), list(self._heads.keys), theta, fitted.warp.bend)
            known.observed, known.fitted = content, fitted
        return known.fitted
