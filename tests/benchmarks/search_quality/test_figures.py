"""Costs, ratios and ranks from records."""

import math

import pytest

from benchmarks.search_quality.figures import (
    best_share,
    by_task,
    cost,
    decision_milliseconds,
    mean_ranks,
    mean_ratio,
    ratio,
    spent,
)
from benchmarks.search_quality.replay import Step
from benchmarks.search_quality.runs import Record, Run


def record(arm, seed, *steps, table="t", slots=4, best=2.0, budget=100, **more):
    """A record of steps (epochs, share of the best); an epoch takes 3 seconds."""
    curve = [Step(epochs, 3.0 * epochs, share * best) for epochs, share in steps]
    return Record(run=Run(table, slots, arm, seed, budget), best=best, steps=curve, **more)


def found(arm, *epochs):
    """Records of searches that reach the best after some epochs, or never (None)."""
    return [
        record(arm, seed, (1, 0.5), *([(each, 1.0)] if each else []), (100, 1.0 if each else 0.5))
        for seed, each in enumerate(epochs)
    ]


def test_what_a_search_spent():
    each = record("ours", 0, (5, 0.9), (20, 0.96), (100, 0.96))
    assert (spent(each, 0.95, "epochs"), spent(each, 0.9, "epochs")) == (20, 5)
    assert spent(each, 0.95, "seconds") == 60
    assert math.isinf(spent(each, 0.97, "epochs"))


def test_a_search_that_found_nothing_is_in_the_quantiles():
    each = cost(found("ours", 10, 20, 30, 40, None), 0.95, "epochs")
    assert each == (20, 30, 40, math.inf, 4, 5)
    assert cost(found("ours", 10, None, None), 0.95, "epochs").median == math.inf
    assert cost(found("ours", 10, 20, 30, None), 0.95, "epochs")[:3] == (10, 20, 30)


@pytest.mark.parametrize(
    ("ours", "peer", "expected"),
    [
        ((10, 20, 30), (40, 50, 60), (0.4, "", "DEHB")),
        ((10, 20, 30), (40, None, None), (0.2, "<", "DEHB")),
        ((10, None, None), (40, 50, 60), (2.0, ">", "DEHB")),
        ((10, None, None), (40, None, None), None),
    ],
)
def test_ratios_to_the_best_peer(ours, peer, expected):
    arms = {"ours": found("ours", *ours), "DEHB": found("DEHB", *peer), "SMAC3": found("SMAC3", None, None, None)}
    arms["ours with tpe"] = found("ours with tpe", 1, 1, 1)  # is no peer
    assert ratio(arms, "ours", 0.95, "epochs") == expected


def test_a_search_that_gave_up_counts_as_its_budget():
    arms = {"ours": found("ours", 10), "DEHB": [record("DEHB", 0, (1, 0.5), (30, 0.5))]}
    assert ratio(arms, "ours", 0.95, "epochs").value == 0.1
    assert ratio(arms, "ours", 0.95, "seconds").value == pytest.approx(1 / 3)


def test_the_mean_is_geometric_and_leaves_out_what_is_missing():
    arms = {"ours": found("ours", 10), "DEHB": found("DEHB", 40)}
    half = ratio(arms, "ours", 0.95, "epochs")
    assert mean_ratio([half, None]) == pytest.approx(0.25)
    assert mean_ratio([half, half._replace(value=1.0)]) == pytest.approx(0.5)
    assert math.isnan(mean_ratio([None]))


def test_ranks_share_ties_and_treat_all_values_from_the_last_target_on_as_equal():
    records = [
        record("ours", 0, (1, 0.6), (50, 0.999), (100, 0.999)),
        record("DEHB", 0, (1, 0.7), (60, 0.9951), (100, 0.9951)),
        record("SMAC3", 0, (1, 0.1), (100, 0.1)),
    ]
    # at 6.25, 12.5 and 25 epochs DEHB leads, at 50 ours, at 100 both are equal
    expected = {"ours": (2 * 3 + 1 + 1.5) / 5, "DEHB": (1 * 3 + 2 + 1.5) / 5, "SMAC3": 3}
    assert mean_ranks(by_task(records)) == pytest.approx(expected)
    assert best_share(records[0], 100) == 0.995
    assert best_share(records[0], 0) == -math.inf


def test_an_arm_that_is_not_in_all_tasks_is_not_ranked():
    records = [record("ours", 0, (1, 0.6)), record("DEHB", 0, (1, 0.7)), record("ours", 0, (1, 0.6), table="u")]
    assert mean_ranks(by_task(records)) == {"ours": 1}
    assert mean_ranks({}) == {}


def test_failed_runs_have_no_part_in_figures():
    failed = Record(run=Run("t", 4, "DEHB", 0, 100), error="broken")
    assert by_task([failed, record("ours", 0, (1, 0.6))]) == {("t", 4): {"ours": [record("ours", 0, (1, 0.6))]}}


def test_decision_times_are_means():
    each = record("ours", 0, (10, 0.6), proposals=4, suggest_seconds=0.2, report_seconds=0.1)
    assert decision_milliseconds([each, each]) == pytest.approx((50, 10))


def test_of_a_seeds_records_the_largest_budget_counts_and_ranks_are_by_the_smallest_of_all():
    short, long = record("ours", 0, (1, 0.2), budget=16), record("ours", 0, (1, 0.2), (17, 0.9))
    assert by_task([short, long, short]) == {("t", 4): {"ours": [long]}}
    assert mean_ranks(by_task([long, record("DEHB", 0, (1, 0.3), budget=16)])) == {"ours": 2, "DEHB": 1}
