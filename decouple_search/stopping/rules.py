"""Whether a trial is stopped after an epoch, by rules over the learning curves of all trials.

The curves come from the study, so a rule has no state of its own. A resumed search stops the trials that it would have
stopped anyway. A curve maps epochs to values, of which more is better.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

Curve = Mapping[int, float]


def rungs(grace: int, factor: float, epochs: int) -> list[int]:
    """The epochs after which ASHA compares trials: `grace`, and each `factor` times the last, below `epochs`."""
    count = int(math.log(epochs / grace) / math.log(factor) + 1e-9) + 1
    return [rung for k in range(count) if (rung := int(grace * factor**k)) < epochs]


def asha_stops(curve: Curve, others: Sequence[Curve], epoch: int, *, rung_epochs: Sequence[int], factor: float) -> bool:
    """ASHA (Li et al., 2020), the stopping variant: at a rung, only the best `1/factor` so far continue.

    Args:
        curve: the trial's curve.
        others: the curves of the trials that it is compared with.
        epoch: the epoch that has just ended.
        rung_epochs: the rungs.
        factor: the reduction factor.
    """
    reached = [other[epoch] for other in others if epoch in other]
    if epoch not in rung_epochs or not reached:
        return False
    import numpy as np  # here, because `--help` imports this module

    return curve[epoch] < float(np.percentile(reached, 100 * (1 - 1 / factor)))


def brackets(grace: int, factor: float, epochs: int) -> list[int]:
    """The first rungs of asynchronous Hyperband's brackets, in the order in which trials take them, repeatedly.

    Hyperband (Li et al., 2018) gives more trials to a bracket that stops earlier.
    """
    graces = rungs(grace, factor, epochs) or [epochs]
    counts = [math.ceil(len(graces) / (k + 1) * factor**k) for k in range(len(graces))]
    sizes = zip(reversed(graces), counts, strict=True)
    places = [((i + 0.5) / count, first) for first, count in sizes for i in range(count)]  # evenly mixed
    return [first for _, first in sorted(places)]


def median_stops(curve: Curve, others: Sequence[Curve], epoch: int, *, grace: int, min_trials: int = 3) -> bool:
    """Vizier's median rule (Golovin et al., 2017): the best so far is below the median of the others' means so far.

    Args:
        curve: the trial's curve.
        others: the curves of the other trials.
        epoch: the epoch that has just ended.
        grace: the first epoch after which trials are stopped. The means start there.
        min_trials: the number of other trials that must have reached this epoch.
    """
    if epoch < grace:
        return False
    means = [statistics.fmean(v for e, v in other.items() if grace <= e <= epoch) for other in others if epoch in other]
    return len(means) >= min_trials and max(curve.values()) < statistics.median(means)
