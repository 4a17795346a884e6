"""The paper's metrics (section 3.1) as pure functions, and an accumulator of scores over batches and workers.

Shapes: N samples, C classes; scores N×C are probabilities, targets N×C are 0 or 1. `ignored` N×C marks pairs of sample
and class that do not count. All results are in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD = 0.5
"""A label is predicted if its probability is strictly above this value (section 3.1)."""

Scores = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]


def average_precision(
    scores: Scores, targets: Flags, ignored: Flags | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average precision of each class over all points of its precision-recall curve.

    Equal scores are one point of the curve, so the order of the samples does not matter.

    Args:
        scores: N×C.
        targets: N×C.
        ignored: N×C, pairs that do not count.

    Returns:
        Two arrays of C values, NaN for a class without a positive. The first makes precision monotone from the right,
        as VOC2010-12 does. The second is the plain sum, as in scikit-learn and torchmetrics.
    """
    classes = scores.shape[1]
    voc, plain = np.full(classes, np.nan), np.full(classes, np.nan)
    for c in range(classes):
        column, positive = np.ascontiguousarray(scores[:, c]), targets[:, c]
        if ignored is not None and ignored[:, c].any():
            column, positive = column[~ignored[:, c]], positive[~ignored[:, c]]
        hits = np.sort(column[positive])  # the scores of the positives, lowest first
        if hits.size == 0:
            continue
        # With each positive's score as the threshold: how many samples pass, and the share of positives among them.
        passing = column.size - np.searchsorted(np.sort(column), hits, side="left")
        precision = (hits.size - np.searchsorted(hits, hits, side="left")) / passing
        plain[c] = precision.mean()
        voc[c] = np.maximum.accumulate(precision).mean()
    return voc, plain


def multilabel_metrics(
    scores: ArrayLike | Tensor,
    targets: ArrayLike | Tensor,
    *,
    ignored: Flags | None = None,
    thresholds: float | Sequence[float] = THRESHOLD,
) -> dict[str, Any]:
    """The measures of the paper's Tables 1 and 2.

    Args:
        scores: N×C probabilities.
        targets: N×C, 0 or 1 (or booleans).
        ignored: N×C, pairs that do not count, such as VOC's difficult objects.
        thresholds: a label is predicted if its score is above; one value, or one per class.

    Returns:
        `map` (VOC2010-12) and `map_plain`, over the classes that have a positive; `p_c`, `r_c`, `f1_c` (mean of
        the F1 of each class), `f1_c_harmonic` (of p_c and r_c), `p_o`, `r_o`, `f1_o`; `ap`, a list of C values
        (None for a class without a positive); `classes_without_positives`, their number. A ratio with denominator 0
        is 0: the precision of a class that is never predicted, the recall of a class without a positive.

    Raises:
        ValueError: the shapes differ, there is no sample, a score is outside [0, 1], or a target is not 0 or 1.
    """
    score_array, target_array = _checked(scores, targets)
    ap, plain = average_precision(score_array, target_array, ignored)
    present = ~np.isnan(ap)
    return {
        "map": float(ap[present].mean()) if present.any() else 0.0,
        "map_plain": float(plain[present].mean()) if present.any() else 0.0,
        **decision_metrics(score_array > np.asarray(thresholds), target_array, ignored),
        "ap": [None if np.isnan(value) else value for value in ap.tolist()],
        "classes_without_positives": int((~present).sum()),
    }


def top_k_metrics(
    scores: ArrayLike | Tensor,
    targets: ArrayLike | Tensor,
    k: int = 3,
    *,
    ignored: Flags | None = None,
    above: float | None = None,
) -> dict[str, float]:
    """`p_c` to `f1_o` where each image gets the k labels with the highest scores. Ties go to the first class.

    CNN-RNN (Wang et al., 2016) and WARP report these numbers. ML-GCN (Chen et al., 2019), and papers that use its
    code, additionally require a score above 0.5.

    Args:
        scores: N×C probabilities.
        targets: N×C, 0 or 1 (or booleans).
        k: labels per image, at most C.
        ignored: N×C, pairs that do not count.
        above: additionally require a score above this value; None requires nothing.

    Raises:
        ValueError: as `multilabel_metrics`.
    """
    score_array, target_array = _checked(scores, targets)
    order = np.argsort(-score_array, axis=1, kind="stable")[:, :k]
    predicted = np.zeros(score_array.shape, bool)
    np.put_along_axis(predicted, order, True, axis=1)
    if above is not None:
        predicted &= score_array > above
    return decision_metrics(predicted, target_array, ignored)


def decision_metrics(predicted: Flags, targets: Flags, ignored: Flags | None = None) -> dict[str, float]:
    """Precision, recall and F1 of predicted labels, per class and overall (section 3.1).

    Args:
        predicted: N×C.
        targets: N×C.
        ignored: N×C, pairs that do not count.

    Returns:
        `p_c, r_c, f1_c, f1_c_harmonic, p_o, r_o, f1_o`, as `multilabel_metrics`.
    """
    if ignored is not None:
        predicted, targets = predicted & ~ignored, targets & ~ignored
    hits, labels, actual = (predicted & targets).sum(0), predicted.sum(0), targets.sum(0)
    p_c, r_c = _ratio(hits, labels).mean(), _ratio(hits, actual).mean()
    p_o, r_o = _ratio(hits.sum(), labels.sum()), _ratio(hits.sum(), actual.sum())
    values = {
        "p_c": p_c,
        "r_c": r_c,
        "f1_c": _ratio(2 * hits, labels + actual).mean(),
        "f1_c_harmonic": _ratio(2 * p_c * r_c, p_c + r_c),
        "p_o": p_o,
        "r_o": r_o,
        "f1_o": _ratio(2 * p_o * r_o, p_o + r_o),
    }
    return {name: float(value) for name, value in values.items()}


class ScoreAccumulator:
    """Collects the scores of an evaluation over batches and workers, each sample once.

    Samples are kept with their index in the dataset, and `metrics` sorts them by it. The result is therefore
    bit-identical however the samples were split.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[NDArray[np.int64], NDArray[np.float32], Flags]] = []

    def update(self, indices: Tensor, scores: Tensor, targets: Tensor) -> None:
        """Add B samples: dataset indices B, probabilities B×C, targets B×C."""
        scores, targets = scores.detach().float().cpu(), targets.bool().cpu()
        self._batches.append((indices.cpu().numpy(), scores.numpy(), targets.numpy()))

    def merge(self, others: Sequence[ScoreAccumulator]) -> ScoreAccumulator:
        """A new accumulator with the samples of this one and of `others`."""
        merged = ScoreAccumulator()
        merged._batches = [batch for accumulator in (self, *others) for batch in accumulator._batches]
        return merged

    def arrays(self, expected: int | None = None) -> tuple[NDArray[np.float32], Flags]:
        """Scores N×C and targets N×C in the dataset's order.

        Args:
            expected: N, to check that no sample is missing; None does not check.

        Raises:
            ValueError: a sample is there twice, or samples are missing.
        """
        indices = np.concatenate([batch[0] for batch in self._batches]) if self._batches else np.empty(0, np.int64)
        order = np.argsort(indices, kind="stable")
        ordered = indices[order]
        if (repeated := ordered[1:][ordered[1:] == ordered[:-1]]).size:
            raise ValueError(f"sample {repeated[0]} was evaluated more than once")
        if expected is not None and len(ordered) != expected:
            raise ValueError(f"{len(ordered)} of {expected} samples were evaluated")
        scores = np.concatenate([batch[1] for batch in self._batches])[order]
        return scores, np.concatenate([batch[2] for batch in self._batches])[order]

    def metrics(self, expected: int | None = None, ignored: Flags | None = None) -> dict[str, Any]:
        """`multilabel_metrics` of all samples.

        Args:
            expected: as for `arrays`.
            ignored: as for `multilabel_metrics`.
        """
        return multilabel_metrics(*self.arrays(expected), ignored=ignored)


def _checked(scores: ArrayLike | Tensor, targets: ArrayLike | Tensor) -> tuple[Scores, Flags]:
    score_array, target_array = _array(scores), _array(targets)
    if score_array.ndim != 2 or score_array.shape != target_array.shape:
        raise ValueError(f"scores {score_array.shape} and targets {target_array.shape} must both be samples × classes")
    if score_array.size == 0:
        raise ValueError(f"nothing to measure: scores are {score_array.shape}")
    if not ((score_array >= 0) & (score_array <= 1)).all():
        raise ValueError("scores must be probabilities in [0, 1], without NaN; apply a sigmoid to logits first")
    if not ((target_array == 0) | (target_array == 1)).all():
        raise ValueError("targets must be 0 or 1")
    return score_array, target_array.astype(bool)


def _array(values: Any) -> NDArray[Any]:
    if hasattr(values, "detach"):  # a tensor; where there is none, torch is not imported either
        tensor = values.detach().cpu()
        is_half = tensor.is_floating_point() and tensor.element_size() < 4  # NumPy has no bfloat16
        return np.asarray(tensor.float() if is_half else tensor)
    return np.asarray(values)


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> NDArray[np.float64]:
    """`numerator / denominator`, 0 where the denominator is 0."""
    divisor = np.asarray(denominator, float)
    ratio: NDArray[np.float64] = np.divide(numerator, divisor, out=np.zeros_like(divisor), where=divisor > 0)
    return ratio
