"""The metrics against hand values, scikit-learn, torchmetrics and a direct implementation of VOC2010-12."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, precision_recall_fscore_support
from torchmetrics.functional.classification import multilabel_average_precision

from decouplenet import multilabel_metrics
from decouplenet.metrics import ScoreAccumulator, top_k_metrics


def voc_by_hand(scores, targets):
    """The area under the monotone precision-recall curve, point by point over the distinct scores."""
    points = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        passing = scores >= threshold
        hits = (targets[passing] == 1).sum()
        points.append((hits / targets.sum(), hits / passing.sum()))
    area, before = 0.0, 0.0
    for i, (recall, _) in enumerate(points):
        area += (recall - before) * max(precision for _, precision in points[i:])
        before = recall
    return area


def test_hand_values():
    scores = np.array([[0.9], [0.8], [0.7], [0.6], [0.55], [0.4]])
    result = multilabel_metrics(scores, np.array([[1], [0], [0], [1], [1], [0]]))
    assert result["map_plain"] == pytest.approx(0.7)
    assert result["map"] == pytest.approx(0.73333333)
    assert (result["p_c"], result["r_c"]) == (pytest.approx(0.6), 1.0)
    assert result["f1_c"] == pytest.approx(0.75)


# Few distinct scores, so that ties occur.
CASES = st.integers(2, 30).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float32, (n, 3), elements=st.integers(0, 8).map(lambda i: i / 8)),
        hnp.arrays(np.uint8, (n, 3), elements=st.integers(0, 1)),
    )
)


@settings(max_examples=150, deadline=None)
@given(CASES)
def test_average_precision_of_any_scores(case):
    scores, targets = case
    result = multilabel_metrics(scores, targets)
    present = targets.any(0)
    assert result["classes_without_positives"] == (~present).sum()
    assert [value is None for value in result["ap"]] == (~present).tolist()
    if present.any():
        expected = [voc_by_hand(scores[:, c], targets[:, c]) for c in np.flatnonzero(present)]
        assert [result["ap"][c] for c in np.flatnonzero(present)] == pytest.approx(expected)
        assert result["map"] == pytest.approx(np.mean(expected))
        plain = average_precision_score(targets[:, present], scores[:, present], average="macro")
        assert result["map_plain"] == pytest.approx(plain)


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_precision_recall_f1_of_any_scores(case):
    scores, targets = case
    result = multilabel_metrics(scores, targets)
    for average, names in (("macro", ("p_c", "r_c", "f1_c")), ("micro", ("p_o", "r_o", "f1_o"))):
        expected = precision_recall_fscore_support(targets, scores > 0.5, average=average, zero_division=0)
        assert [result[name] for name in names] == pytest.approx(list(expected[:3]))
    total = result["p_c"] + result["r_c"]
    assert result["f1_c_harmonic"] == pytest.approx(2 * result["p_c"] * result["r_c"] / total if total else 0)


def test_plain_average_precision_is_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    scores, targets = (
        torch.rand(300, 12, generator=generator),
        (torch.rand(300, 12, generator=generator) < 0.2).int(),
    )
    expected = multilabel_average_precision(scores, targets, num_labels=12)
    assert multilabel_metrics(scores, targets)["map_plain"] == pytest.approx(float(expected), abs=1e-6)


def test_a_score_equal_to_the_threshold_is_not_predicted():
    result = multilabel_metrics([[0.5], [0.5000001]], [[1], [1]])
    assert result["r_o"] == 0.5


def test_bfloat16_and_boolean_tensors_are_accepted():
    scores, targets = torch.tensor([[0.25, 0.75]], dtype=torch.bfloat16), torch.tensor([[False, True]])
    assert multilabel_metrics(scores, targets)["f1_o"] == 1.0


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([[0.1, 0.2]], [[1]], "samples × classes"),
        (np.empty((0, 2)), np.empty((0, 2)), "nothing to measure"),
        ([[1.5]], [[1]], "sigmoid"),
        ([[float("nan")]], [[1]], "NaN"),
        ([[0.5]], [[2]], "0 or 1"),
    ],
)
def test_invalid_scores_and_targets_are_refused(scores, targets, message):
    with pytest.raises(ValueError, match=message):
        multilabel_metrics(scores, targets)


def accumulators_of(n, workers, seed=0):
    """N samples split over workers in shuffled batches, and the metrics of all of them."""
    generator = torch.Generator().manual_seed(seed)
    scores, targets = torch.rand(n, 5, generator=generator), torch.rand(n, 5, generator=generator) < 0.3
    accumulators = []
    for rank in range(workers):
        accumulator = ScoreAccumulator()
        share = torch.arange(rank, n, workers)
        for indices in share[torch.randperm(len(share), generator=generator)].split(7):
            accumulator.update(indices, scores[indices], targets[indices])
        accumulators.append(accumulator)
    return accumulators, multilabel_metrics(scores, targets)


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_metrics_do_not_depend_on_the_split_over_workers(workers):
    (first, *others), expected = accumulators_of(101, workers)
    assert first.merge(others).metrics(101) == expected


def test_a_repeated_or_missing_sample_is_an_error():
    (first, second), _ = accumulators_of(20, 2)
    with pytest.raises(ValueError, match="more than once"):
        first.merge([second, second]).metrics()
    with pytest.raises(ValueError, match="10 of 20 samples were evaluated"):
        first.metrics(20)


def test_real_labels_of_nus_wide(shared):
    import csv
    import gzip

    concepts = (shared / "nuswide" / "concepts81.txt").read_text().split()
    column = {name: i for i, name in enumerate(concepts)}
    with gzip.open(shared / "nuswide" / "test_labels.csv.gz", "rt") as file:
        rows = [row["labels"].split() for row in csv.DictReader(file)]
    targets = np.zeros((len(rows), 81), np.uint8)
    for i, labels in enumerate(rows):
        targets[i, [column[label] for label in labels]] = 1
    scores = np.random.default_rng(0).random(targets.shape, np.float32)
    sample = [0, 40, 80]
    result = multilabel_metrics(scores, targets)
    assert result["classes_without_positives"] == 0
    plain = average_precision_score(targets[:, sample], scores[:, sample], average="macro")
    assert multilabel_metrics(scores[:, sample], targets[:, sample])["map_plain"] == pytest.approx(plain)


@settings(max_examples=60, deadline=None)
@given(CASES, st.integers(0, 1000))
def test_ignored_pairs_have_no_effect(case, seed):
    scores, targets = case
    ignored = np.random.default_rng(seed).random(targets.shape) < 0.3
    result = multilabel_metrics(scores, targets, ignored=ignored)
    assert result == multilabel_metrics(
        1 - scores * ignored - (1 - scores) * ~ignored, targets ^ ignored, ignored=ignored
    )
    for c in range(3):
        counted = ~ignored[:, c]
        if counted.any():
            alone = multilabel_metrics(scores[counted, c : c + 1], targets[counted, c : c + 1])
            assert result["ap"][c] == alone["ap"][0]
    assert multilabel_metrics(scores, targets, ignored=np.zeros_like(ignored)) == multilabel_metrics(scores, targets)


def test_thresholds_of_each_class():
    scores = np.array([[0.3, 0.6], [0.2, 0.9]])
    targets = np.array([[1, 0], [0, 1]])
    assert multilabel_metrics(scores, targets)["f1_o"] == pytest.approx(0.5)
    assert multilabel_metrics(scores, targets, thresholds=[0.25, 0.7])["f1_o"] == 1.0


@settings(max_examples=60, deadline=None)
@given(CASES)
def test_top_k_by_hand(case):
    scores, targets = case
    for above in (None, 0.5):
        hits = predicted = 0
        for row, labels in zip(scores, targets, strict=True):
            best = sorted(range(3), key=lambda c: (-row[c], c))[:2]
            chosen = [c for c in best if above is None or row[c] > above]
            hits += sum(labels[c] for c in chosen)
            predicted += len(chosen)
        result = top_k_metrics(scores, targets, 2, above=above)
        assert result["p_o"] == pytest.approx(hits / predicted if predicted else 0.0)
        assert result["r_o"] == pytest.approx(hits / targets.sum() if targets.any() else 0.0)
