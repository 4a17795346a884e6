"""The learning curves of a study as arrays, and the typical curve among them.

Shapes: n observations of t trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from decouple_search.space.space import Space
from decouple_search.study.record import TrialRecord

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


class Curve(NamedTuple):
    """A trial's learning curve; of its values, more is better."""

    number: int
    """The trial's number in the study."""
    point: Mapping[str, Any]
    """The trial's searched parameters."""
    values: Mapping[int, float]
    """The value by epoch; not empty."""


@dataclass(frozen=True)
class Observations:
    """The values that a model takes from learning curves."""

    trials: Indices
    """n, the place of each observation's curve among the curves."""
    epochs: Indices
    """n, the epochs."""
    values: Array
    """n, the values."""

    @classmethod
    def of_curves(cls, curves: Sequence[Curve]) -> Observations:
        """The observations of curves."""
        flat = [
            (place, epoch, curve.values[epoch])
            for place, curve in enumerate(curves)
            for epoch in sparse_epochs(curve.values)
        ]
        trials, epochs, values = zip(*flat, strict=True)
        return cls(np.array(trials, dtype=np.intp), np.array(epochs, dtype=np.intp), np.array(values, dtype=float))


def curves_of(trials: Sequence[TrialRecord], space: Space, epochs: int) -> list[Curve]:
    """The curves of trials, imported ones among them.

    A configuration that cannot be trained counts as bad as the worst first epoch of all.

    Args:
        trials: trials of a study.
        space: the searched space.
        epochs: the epochs of a full training. An imported trial may have more, which do not count.
    """
    curves, untrainable = [], []
    for trial in trials:
        if trial.cannot_be_trained and trial.frozen.params:
            untrainable.append(trial)
        elif not trial.cannot_be_trained:
            values = {epoch: space.objective.utility(value) for epoch, value in trial.curve.items() if epoch <= epochs}
            if values:
                curves.append(Curve(trial.number, trial.frozen.params, values))
    worst = min((curve.values[min(curve.values)] for curve in curves), default=0.0)
    return curves + [Curve(trial.number, trial.frozen.params, {1: worst}) for trial in untrainable]


def sparse_epochs(curve: Mapping[int, float]) -> list[int]:
    """The epochs of a curve that the model takes: 1, 2, 4, ... and the last. Those between add little."""
    last = max(curve, default=0)
    return sorted({epoch for epoch in curve if epoch & (epoch - 1) == 0} | ({last} if last else set()))


def typical_curve(observed: Observations, epochs: int) -> Array:
    """The typical value by epoch, 0 to `epochs`: the mean of first epochs, then the mean gains of trials on their way.

    A mean over the trials that reached an epoch would be the mean of the good trials. Beyond the epochs that a trial
    has reached, the gains fall as a power of the epoch, as they do in most learning curves.
    """
    order = np.lexsort((observed.epochs, observed.trials))
    trials, at, values = observed.trials[order], observed.epochs[order], observed.values[order]
    later = np.r_[False, trials[1:] == trials[:-1]]
    typical = np.zeros(epochs + 1)
    typical[:2] = values[~later].mean()
    before, after = at[:-1][later[1:]], at[1:][later[1:]]
    gains = (values[1:] - values[:-1])[later[1:]] / (after - before)
    sums, counts = np.zeros(epochs + 2), np.zeros(epochs + 2)
    np.add.at(sums, before + 1, gains)
    np.add.at(sums, after + 1, -gains)
    np.add.at(counts, before + 1, 1)
    np.add.at(counts, after + 1, -1)
    sums, counts = np.cumsum(sums), np.cumsum(counts)
    for epoch in range(2, epochs + 1):
        if counts[epoch] > 0.5:
            gain = sums[epoch] / counts[epoch]
        else:
            gain = max(typical[epoch - 1] - typical[epoch - 2], 0.0) * ((epoch - 1) / epoch) ** 1.5
        typical[epoch] = typical[epoch - 1] + gain
    return typical
