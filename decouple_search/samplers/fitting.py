"""The fit of a model to a search's observations: its hyperparameters, and the warp of its values.

A fit costs more than all the rest, so it is made anew only when there are more observations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from decouple_search.samplers.curves import Observations
from decouple_search.samplers.gaussian_process import EpochModel
from decouple_search.samplers.kernel import Hyperparameters
from decouple_search.samplers.warp import BENDS, Warp
from decouple_search.study.record import Fit

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

REFIT_GROWTH = 1.2
"""Hyperparameters are fitted anew when there are this many times more observations than at the last fit."""


@dataclass(frozen=True)
class FittedModel:
    """A model and the warp of the values that it knows."""

    model: EpochModel
    warp: Warp
    is_new: bool
    """Whether hyperparameters and warp were fitted, not taken from the last fit."""


def fit(rows: Array, owners: Indices, observed: Observations, epochs: int, last: Fit | None) -> FittedModel:
    """The model of the most probable hyperparameters and bend, given the observations.

    After the first fit only the bends next to the last one are tried.

    Args:
        rows: t×c, the rows of the observed trials.
        owners: the parameter that each column belongs to.
        observed: the observations.
        epochs: the epochs of a full training.
        last: the last fit; it stands while observations are less than `REFIT_GROWTH` times its own.
    """
    known = Hyperparameters.from_vector(np.array(last.theta)) if last else None
    if last is not None and last.observations <= len(observed.values) < last.observations * REFIT_GROWTH:
        warp = Warp.over(observed.values, last.bend)
        return FittedModel(EpochModel(rows, owners, _warped(observed, warp), epochs, known), warp, is_new=False)
    best, fit_to = None, None
    least = np.inf
    for bend in _bends(last):
        warp = Warp.over(observed.values, bend)
        model = EpochModel(rows, owners, _warped(observed, warp), epochs, start=known, fit_to=fit_to)
        fit_to = model.fit_to  # likelihoods compare only for the same observations
        loss = model.fit_loss - warp.log_slopes(observed.values[fit_to]).sum()
        if best is None or loss < least:
            best, least = FittedModel(model, warp, is_new=True), loss
    assert best is not None  # noqa: S101 - there is always a bend to try
    return best


def _warped(observed: Observations, warp: Warp) -> Observations:
    return replace(observed, values=warp.warped(observed.values))


def _bends(last: Fit | None) -> tuple[float | None, ...]:
    if last is None or last.bend not in BENDS:
        return BENDS
    place = BENDS.index(last.bend)
    return BENDS[max(place - 1, 0) : place + 2]
