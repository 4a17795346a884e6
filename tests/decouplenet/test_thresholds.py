"""Thresholds of the classes against brute force, and their file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from decouplenet.errors import InputError
from decouplenet.metrics import multilabel_metrics
from decouplenet.thresholds import best_thresholds, read_thresholds, write_thresholds

CASES = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float64, (n, 2), elements=st.integers(0, 10).map(lambda i: i / 10)),
        hnp.arrays(np.uint8, (n, 2), elements=st.integers(0, 1)),
        hnp.arrays(bool, (n, 2)),
    )
)


@settings(max_examples=150, deadline=None)
@given(CASES)
def test_no_other_threshold_has_a_higher_f1(case):
    scores, targets, ignored = case
    thresholds = best_thresholds(scores, targets, ignored)
    for c in range(2):
        counted = ~ignored[:, c]
        if not targets[counted, c].any():
            assert thresholds[c] == 0.5
            continue
        column = scores[counted, c : c + 1], targets[counted, c : c + 1]
        best = multilabel_metrics(*column, thresholds=[thresholds[c]])["f1_c"]
        for other in np.linspace(-0.05, 1.05, 23):
            assert best >= multilabel_metrics(*column, thresholds=[float(other)])["f1_c"] - 1e-12 or other < 0


def test_among_equal_thresholds_it_is_the_nearest_to_a_half():
    assert best_thresholds(np.array([[0.9], [0.4], [0.1]]), np.array([[1], [0], [0]])) == [0.65]
    assert best_thresholds(np.array([[0.2], [0.1]]), np.array([[1], [0]])) == [pytest.approx(0.15)]


def test_the_thresholds_file(tmp_path):
    write_thresholds(tmp_path / "t.json", ("a", "b"), [0.2, 0.7], {"images": 5})
    assert read_thresholds(tmp_path / "t.json", ("b", "a")) == ([0.7, 0.2], {"images": 5})
    with pytest.raises(InputError, match=r"classes of '.*' are not the checkpoint's \(they differ in \['b', 'c'\]\)"):
        read_thresholds(tmp_path / "t.json", ("a", "c"))
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(InputError, match="has no thresholds by class"):
        read_thresholds(tmp_path / "bad.json", ("a",))
    (tmp_path / "bad.json").write_text('{"thresholds": {"a": NaN}}')
    with pytest.raises(InputError, match=r"has nan for 'a'; it must be in \[0, 1\]"):
        read_thresholds(tmp_path / "bad.json", ("a",))
    with pytest.raises(InputError, match="cannot be read"):
        read_thresholds(tmp_path / "none.json", ("a",))
