"""The fit of a model to a search's observations: its hyperparameters, and the warp of its values.

A fit costs more than all the rest, so it is made anew only when there are more observations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from decouple_search.samplers.curves import Observations, typical_curve
from decouple_search.samplers.gaussian_process import EpochModel
from decouple_search.samplers.kernel import Hyperparameters
from decouple_search.samplers.warp import BENDS, Warp
from decouple_search.study.record import Fit

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

WEIGHT_DEVIATION = 0.5
"""Standard deviation of the prior of a hint's weight, as a share of its mean."""
REFIT_GROWTH = 1.2
"""Hyperparameters are fitted anew when there are this many times more observations than at the last fit."""


@dataclass(frozen=True)
class FittedModel:
    """A model and the warp of the values that it knows."""

    model: EpochModel
    warp: Warp
    is_new: bool
    """Whether hyperparameters and warp were fitted, not taken from the last fit."""
    hint_weight: float = 0.0
    """What a warped value grows by per unit of its hint."""
    hint_centre: float = 0.0
    """The hint at which it adds nothing."""


def fit(
    rows: Array, owners: Indices, observed: Observations, epochs: int, last: Fit | None, hints: Array | None = None
) -> FittedModel:
    """The model of the most probable hyperparameters and bend, given the observations.

    After the first fit only the bends next to the last one are tried.

    Args:
        rows: t×c, the rows of the observed trials.
        owners: the parameter that each column belongs to.
        observed: the observations.
        epochs: the epochs of a full training.
        last: the last fit; it stands while observations are less than `REFIT_GROWTH` times its own.
        hints: t values that are known beforehand to go with those of the trials, such as screened ones. The model is
            then of what the values differ from the hints times a weight.
    """
    known = Hyperparameters.from_vector(np.array(last.theta)) if last else None
    if last is not None and last.observations <= len(observed.values) < last.observations * REFIT_GROWTH:
        warp = Warp.over(observed.values, last.bend)
        beyond, weight, centre = _beyond_hints(_warped(observed, warp), observed, warp, epochs, hints)
        return FittedModel(EpochModel(rows, owners, beyond, epochs, known), warp, False, weight, centre)
    best, fit_to = None, None
    least = np.inf
    for bend in _bends(last):
        warp = Warp.over(observed.values, bend)
        beyond, weight, centre = _beyond_hints(_warped(observed, warp), observed, warp, epochs, hints)
        model = EpochModel(rows, owners, beyond, epochs, start=known, fit_to=fit_to)
        fit_to = model.fit_to  # likelihoods compare only for the same observations
        loss = model.fit_loss - warp.log_slopes(observed.values[fit_to]).sum()
        if best is None or loss < least:
            best, least = FittedModel(model, warp, True, weight, centre), loss
    assert best is not None  # noqa: S101 - there is always a bend to try
    return best


def _warped(observed: Observations, warp: Warp) -> Observations:
    return replace(observed, values=warp.warped(observed.values))


def _beyond_hints(
    warped: Observations, observed: Observations, warp: Warp, epochs: int, hints: Array | None
) -> tuple[Observations, float, float]:
    """Warped observations less what the hints explain, the weight of the hints, and their centre.

    The weight is a regression of the trials' last values, as far as they differ from the typical curve, on the hints.
    Its prior says that a value grows as much as its hint, give or take `WEIGHT_DEVIATION`.
    """
    if hints is None:
        return warped, 0.0, 0.0
    slope = float(np.exp(warp.log_slopes(observed.values).mean())) / (warp.high - warp.low)
    apart = warped.values - typical_curve(warped, epochs)[warped.epochs]
    last = np.array([np.flatnonzero(warped.trials == trial)[-1] for trial in range(len(hints))])
    hint, value = hints - hints.mean(), apart[last] - apart[last].mean()
    noise = max(float(value.var()), 1e-6)
    prior = (WEIGHT_DEVIATION * slope) ** -2
    weight = max(float((hint @ value / noise + slope * prior) / (hint @ hint / noise + prior)), 0.0)
    centre = float(hints.mean())
    return replace(warped, values=warped.values - weight * (hints - centre)[warped.trials]), weight, centre


def _bends(last: Fit | None) -> tuple[float | None, ...]:
    if last is None or last.bend not in BENDS:
        return BENDS
    place = BENDS.index(last.bend)
    return BENDS[max(place - 1, 0) : place + 2]
