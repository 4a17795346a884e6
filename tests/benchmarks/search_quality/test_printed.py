"""The printed figures have the costs, the failures, the ratios and the ranks."""

import pytest

from benchmarks.search_quality.plot import plot, quantile_curves
from benchmarks.search_quality.printed import report
from benchmarks.search_quality.replay import Step
from benchmarks.search_quality.runs import Record, Run

STEPS = [Step(1, 10.0, 0.4), Step(20, 200.0, 0.5), Step(100, 1000.0, 0.5)]


def records():
    half = Record(run=Run("t", 4, "DEHB", 0, 100), steps=STEPS, best=1.0, proposals=2, suggest_seconds=0.01)
    return [
        Record(run=Run("t", 4, "ours", 0, 100), steps=STEPS, best=0.5),
        Record(run=Run("t", 4, "ours", 1, 100), steps=[Step(10, 50.0, 0.5)], best=0.5),
        half,
        Record(run=Run("t", 4, "SMAC3", 0, 100), error="AssertionError: no"),
    ]


def test_the_report():
    text = "\n".join(report(records()))
    assert "t, 4 slots, budget 100 epochs: epochs to a share of the best" in text
    assert "t, 4 slots, budget 100 epochs: seconds to a share of the best" in text
    rows = [line for line in text.splitlines() if line.startswith("  ours ")]
    assert rows[0].count("10 (10 to 20; 20) 2/2") == 5
    assert rows[1].count("50 (50 to 200; 200) 2/2") == 5
    assert "5.0 ms" in next(line for line in text.splitlines() if line.startswith("  DEHB "))
    assert text.count("- 0/1") == 10
    assert rows[0].split()[-5] == "99.5%"
    assert text.count("  SMAC3                     1 not run: AssertionError: no\n") == 2
    assert "<0.10 DEHB" in text
    assert "<0.05 DEHB" in text
    assert text.splitlines()[-2:] == [f"  {'ours':<25}{1.0:>6.2f}", f"  {'DEHB':<25}{2.0:>6.2f}"]


def test_the_plot_has_a_line_and_a_band_for_each_arm(tmp_path):
    plot(records(), tmp_path / "plot.html")
    text = (tmp_path / "plot.html").read_text()
    assert '"name":"DEHB"' in text
    assert '"name":"SMAC3"' not in text
    epochs, low, middle, high = quantile_curves(records()[:2])
    assert (epochs[0], epochs[-1]) == (10, 100)
    assert (low[0], middle[0], high[0]) == pytest.approx((0.85, 0.9, 0.95))
    assert middle[-1] == 1


def test_records_of_other_arms_are_taken(tmp_path):
    other = Record(run=Run("t", 4, "ours, new", 0, 100), steps=STEPS, best=1.0)
    lines = list(report([*records(), other]))
    assert [line.split()[0] for line in lines if line.startswith("  ours")][:2] == ["ours", "ours,"]
    assert "ours, new / best peer, medians of epochs; < and > are bounds, - reached by neither" in lines
    plot([*records(), other], tmp_path / "plot.html")


def test_a_table_on_which_all_failed_is_said():
    failed = Record(run=Run("u", 1, "SMAC3", 0, 100), error="AssertionError: no")
    lines = list(report([failed, *records()]))
    head = lines.index("u, 1 slots, budget no epochs: epochs to a share of the best")
    assert lines[head + 2] == "  SMAC3                     1 not run: AssertionError: no"
