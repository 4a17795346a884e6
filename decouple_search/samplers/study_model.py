"""A study as its searcher sees it: the curves of its trials, the trials that are being trained, and a model of both.

Expected values are of warped values (`warp.py`).

Everything follows from the study, so a search that was killed resumes. The fit of the hyperparameters costs more than
the rest, so it is kept in the study, and made anew only now and then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.trial import TrialState

from decouple_search.samplers.costs import EpochCosts
from decouple_search.samplers.curves import Observations, curves_of
from decouple_search.samplers.encoding import Encoding
from decouple_search.samplers.fitting import FittedModel, fit
from decouple_search.samplers.gaussian_process import EpochModel
from decouple_search.samplers.improvement import Candidates, log_improvement
from decouple_search.samplers.screen_model import ScreenModel
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space
from decouple_search.study.record import Fit, StudyRecord, TrialRecord

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

STARTUP_TRIALS = 8
"""Trials with a value before the model proposes. Until then configurations are drawn at random."""
STARTUP_DEPTH = 0.5
"""The share of a full training that a trial must have reached by then, so that the model knows how curves go on. At
least its second epoch: one value says nothing of a curve."""
STARTUP_SCREENED = 3
"""Full trials with a value before the model proposes, where screened trials have shown what heads are worth."""
NEAR = 0.4
"""The share of a range, around the base's value, that these trials draw what no screen can judge from."""
GOOD = 6
"""Configurations whose neighbours are candidates for a proposal: those that are expected to be the best."""


@dataclass
class _Known:
    """What is known of a study, and costs time to find anew."""

    parameters: tuple[Parameter, ...]
    """Of the space. If they change, so does all that is known."""
    units: dict[int, Array] = field(default_factory=dict)
    """The units of configurations, by number; they do not change."""
    observed: tuple[Any, ...] = ()
    """What the last model was fitted to."""
    fitted: FittedModel | None = None
    """The last model: a new trial is decided on, and then configured, from the same one."""


_known: WeakKeyDictionary[Study, _Known] = WeakKeyDictionary()


class StudyModel:
    """The trials of a study, and a model of their curves. More is better.

    Args:
        study: the study.
        trials: its trials that count.
        space: the searched space.
        epochs: the epochs of a full training.
        training: numbers of the trials that are being trained; None for those that the study names.
    """

    def __init__(
        self,
        study: Study,
        trials: Sequence[TrialRecord],
        space: Space,
        epochs: int,
        training: Collection[int] | None = None,
    ) -> None:
        if training is None:
            training = [trial.number for trial in trials if trial.is_training]
        self._training = frozenset(training)
        self._study, self._trials, self._space, self._epochs = study, trials, space, epochs
        self._encoding = Encoding(space)
        self._screen = ScreenModel.of(study, space)
        self.curves = curves_of(trials, space, epochs)
        """The learning curves."""
        known = _known.get(study)
        if known is None or known.parameters != space.parameters:
            known = _known[study] = _Known(space.parameters)
        self._known = known

    @property
    def informed(self) -> bool:
        """Whether the model knows enough to decide."""
        deepest = max((max(curve.values) for curve in self.curves), default=0)
        needed = STARTUP_TRIALS if self._screen is None else STARTUP_SCREENED
        return len(self.curves) >= needed and deepest >= max(STARTUP_DEPTH * self._epochs, min(2, self._epochs))

    def trained(self, number: int) -> int:
        """The epochs that a trial has trained."""
        return max(self.curves[self._places[number]].values)

    @property
    def best_value(self) -> float:
        """The best value of any epoch of any curve, warped as expected values are."""
        best = max(max(curve.values.values()) for curve in self.curves)
        return float(self._fitted.warp.warped(np.array(best)))

    def restored(self, warped: float) -> float:
        """A value that the model expects, in the unit of the curves."""
        return float(self._fitted.warp.restored(np.array(warped)))

    @property
    def scale(self) -> float:
        """The standard deviation of warped values around the typical curve."""
        return self._model.scale

    def expect(self, numbers: Sequence[int], epochs: Array) -> tuple[Array, Array]:
        """Expected values of trials at epochs, and their standard deviations.

        Args:
            numbers: numbers of q trials that have a curve.
            epochs: q epochs.
        """
        places = np.array([self._places[number] for number in numbers], dtype=np.intp)
        return self._expect(self._rows[places], epochs, places)

    def expect_anew(self, numbers: Sequence[int]) -> tuple[Array, Array]:
        """Expected values of other trainings of trials' configurations at the last epoch, and standard deviations."""
        rows = self._rows[[self._places[number] for number in numbers]]
        return self._expect(rows, np.full(len(rows), self._epochs, dtype=float))

    def expect_new(self, point: dict[str, Any], epochs: Sequence[int]) -> tuple[Array, Array]:
        """Expected values of a new configuration at epochs, and their standard deviations."""
        row = self._encoding.rows(self._encoding.units([point]))
        return self._expect(np.repeat(row, len(epochs), axis=0), np.array(epochs, dtype=float))

    def log_divisors(self, numbers: Sequence[int]) -> Array:
        """Logarithms of what improvements of trials that have a curve are divided by for their cost (`costs.py`)."""
        return self._divisors_of(self._rows[[self._places[number] for number in numbers]])

    def log_divisor_of_new(self, point: dict[str, Any]) -> float:
        """Logarithm of what an improvement of a new configuration is divided by for its cost (`costs.py`)."""
        return float(self._divisors_of(self._encoding.rows(self._encoding.units([point])))[0])

    @property
    def best_expected(self) -> float:
        """The largest expected value of a trial at the last epoch, warped."""
        return float(self._expected_last.max())

    def change_by_screening(self, point: dict[str, Any]) -> float:
        """By how much screening a configuration may change its expected value: a standard deviation, warped."""
        if self._screen is None:
            return 0.0
        row = self._encoding.rows(self._encoding.units([point]))
        return self._fitted.hint_weight * float(self._screen.change_by_value(row)[0])

    def proposal(self, rng: np.random.Generator, *, random: bool = False) -> dict[str, Any]:
        """A new configuration: the largest improvement per cost that is expected over the best value at the last epoch.

        Args:
            rng: the generator of candidates.
            random: whether to take a random configuration. So does a model that is not informed. Where heads were
                screened, nothing is random but what cannot be screened: the first trials are the best screened heads,
                and the very first has the base's values of other keys.
        """
        candidates = Candidates(self._encoding, self._taken(), rng)
        if self._screen is not None and not self.informed and (head := self._untried_head(self._screen)):
            is_first = not any(trial.frozen.params for trial in self._trials)  # its result should be a sound one
            return self._space.filled(self._near_base(rng, 0.0 if is_first else NEAR) | head)
        random = random and self._screen is None
        if random or not self.informed:
            return candidates.random()
        best = self.best_expected

        def score(rows: Array) -> Array:
            mean, deviation = self._expect(rows, np.full(len(rows), self._epochs, dtype=float))
            gains: Array = log_improvement(mean, deviation, best) - self._divisors_of(rows)
            return gains

        good = np.argsort(-self._expected_last)[:GOOD]
        return candidates.best(score, self._units[good], self._screened_heads(rng, self.curves[good[0]].point))

    def _screened_heads(self, rng: np.random.Generator, best: Mapping[str, Any]) -> Array | None:
        """The units of the best screened heads with what cannot be screened from the best full trial, as candidates.

        Args:
            rng: the generator of values that the best full trial does not have.
            best: its configuration.
        """
        if self._screen is None:
            return None
        usual = self._space.draw_all(rng) | dict(best)
        heads = self._screen.best_first()[:GOOD]
        return self._encoding.units([self._space.filled(usual | head) for head in heads])

    def _near_base(self, rng: np.random.Generator, width: float) -> dict[str, Any]:
        """Values of all keys near those of the base, or random where the base has none that is searched.

        Args:
            rng: the generator of the draws.
            width: the share of a range, around the base's value, that is drawn from, and of choices that are drawn;
                with 0 all values are the base's.
        """
        near = self._space.draw_all(rng)
        for parameter in self._space.parameters:
            usual = self._space.default(parameter.key)
            if not parameter.contains(usual):
                continue
            if width and parameter.kind != "choice":
                position = parameter.position(usual) + width * (rng.random() - 0.5)
                near[parameter.key] = parameter.value_at(min(max(position, 0.0), 1.0))
            elif rng.random() >= width:
                near[parameter.key] = usual
        return near

    def _untried_head(self, screen: ScreenModel) -> dict[str, Any] | None:
        """The best screened head that no full trial has; None if all have been tried."""
        tried = [trial.frozen.params for trial in self._trials]
        return next((h for h in screen.best_first() if not any(h.items() <= params.items() for params in tried)), None)

    def _expect(self, rows: Array, epochs: Array, places: Indices | None = None) -> tuple[Array, Array]:
        """As `EpochModel.expect`, with what screened trials say of the configurations."""
        mean, deviation = self._model.expect(rows, epochs, places)
        if self._screen is None:
            return mean, deviation
        hint, doubt = self._screen.expect(rows)
        weight = self._fitted.hint_weight
        if places is None:  # else the trial's own values say more
            deviation = np.hypot(deviation, weight * doubt)
        return mean + weight * (hint - self._fitted.hint_centre), deviation

    def _taken(self) -> Array:
        """The rows of the configurations that are not proposed a second time: all that this search has tried."""
        tried = [
            trial
            for trial in self._trials
            if trial.frozen.params and not (trial.imported and trial.frozen.state != TrialState.COMPLETE)
        ]
        return self._rows_of(tried)

    def _rows_of(self, trials: Sequence[TrialRecord]) -> Array:
        units = [self._units_of(trial.number, trial.frozen.params) for trial in trials]
        return self._encoding.rows(np.array(units).reshape(len(units), len(self._space.parameters)))

    def _units_of(self, number: int, point: Mapping[str, Any]) -> Array:
        if number not in self._known.units:
            self._known.units[number] = self._encoding.units([point])[0]
        return self._known.units[number]

    def _divisors_of(self, rows: Array) -> Array:
        return np.zeros(len(rows)) if self._costs is None else self._costs.log_divisors(rows)

    @cached_property
    def _expected_last(self) -> Array:
        last = np.full(len(self.curves), self._epochs, dtype=float)
        return self._expect(self._rows, last, np.arange(len(self.curves)))[0]

    @cached_property
    def _costs(self) -> EpochCosts | None:
        timed = [trial for trial in self._trials if trial.epochs and trial.seconds > 0 and not trial.imported]
        if not timed:
            return None
        seconds = np.array([trial.seconds / trial.epochs for trial in timed])
        return EpochCosts(self._rows_of(timed), self._encoding.owners, seconds)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {curve.number: place for place, curve in enumerate(self.curves)}

    @cached_property
    def _units(self) -> Array:
        return np.array([self._units_of(curve.number, curve.point) for curve in self.curves])

    @cached_property
    def _rows(self) -> Array:
        return self._encoding.rows(self._units)

    @cached_property
    def _model(self) -> EpochModel:
        model = self._fitted.model
        pending = [trial for trial in self._trials if trial.number in self._training and trial.frozen.params]
        if not pending:
            return model
        places = np.array([self._places.get(trial.number, -1) for trial in pending], dtype=np.intp)
        return model.with_pending(self._rows_of(pending), np.full(len(pending), self._epochs, dtype=float), places)

    @cached_property
    def _fitted(self) -> FittedModel:
        record, observed = StudyRecord(self._study), Observations.of_curves(self.curves)
        numbers = tuple(curve.number for curve in self.curves)
        screened = 0 if self._screen is None else self._screen.observations
        content = (self._epochs, numbers, screened, observed.epochs.tobytes(), observed.values.tobytes())
        if self._known.fitted is None or self._known.observed != content:
            last = record.fit
            if last is not None and last.keys != list(self._space.keys):
                last = None
            hints = None if self._screen is None else self._screen.expect(self._rows)[0]
            fitted = fit(self._rows, self._encoding.owners, observed, self._epochs, last, hints)
            if fitted.is_new:
                theta = fitted.model.hyperparameters.vector.tolist()
                record.fit = Fit(len(observed.values), list(self._space.keys), theta, fitted.warp.bend)
            self._known.observed, self._known.fitted = content, fitted
        return self._known.fitted
