"""The rules that stop trials: ASHA and the median rule decide as Tune's own do; the sizes of Hyperband's brackets."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from decouple_search.stopping.rules import asha_stops, brackets, median_stops, rungs


class TuneTrial:
    """The part of a Tune trial that Tune's median rule reads."""

    trial_id = "any"


CURVES = st.lists(st.lists(st.floats(0, 1).map(lambda v: round(v, 3)), min_size=9, max_size=9), min_size=1, max_size=12)


@given(CURVES, st.integers(1, 3), st.sampled_from([2, 3, 4]), st.randoms())
def test_asha_stops_the_trials_that_tunes_asha_stops(curves, grace, factor, random):
    """Trials end their epochs in any order."""
    tunes = AsyncHyperBandScheduler(
        time_attr="epoch", metric="v", mode="max", max_t=9, grace_period=grace, reduction_factor=factor
    )
    trials = [SimpleNamespace(trial_id=str(i)) for i in range(len(curves))]
    for trial in trials:
        tunes.on_trial_add(None, trial)
    reported = {i: {} for i in range(len(curves))}
    running = list(reported)
    while running:
        i = random.choice(running)
        epoch = len(reported[i]) + 1
        curve = reported[i] | {epoch: curves[i][epoch - 1]}
        others = [other for j, other in reported.items() if j != i]
        stops = asha_stops(curve, others, epoch, rung_epochs=rungs(grace, factor, 9), factor=factor)
        reported[i] = curve
        if epoch < 9:
            decision = tunes.on_trial_result(None, trials[i], {"epoch": epoch, "v": curve[epoch]})
            assert stops == (decision == TrialScheduler.STOP)
        if stops or epoch == 9:
            running.remove(i)


@given(CURVES, st.integers(1, 4))
def test_the_median_rule_stops_the_trials_that_tunes_stops(curves, grace):
    *others, own = curves
    tunes = MedianStoppingRule(
        time_attr="epoch", metric="v", mode="max", grace_period=grace, min_samples_required=3, hard_stop=True
    )
    controller = SimpleNamespace(get_live_trials=list)
    for values in others:
        trial = TuneTrial()
        for epoch, value in enumerate(values, start=1):
            tunes._results[trial].append({"epoch": epoch, "v": value})
    trial = TuneTrial()
    other_curves = [dict(enumerate(values, start=1)) for values in others]
    for epoch, value in enumerate(own, start=1):
        decision = tunes.on_trial_result(controller, trial, {"epoch": epoch, "v": value})
        curve = dict(enumerate(own[:epoch], start=1))
        means = [np.mean(values[grace - 1 : epoch]) for values in others] if epoch >= grace else []
        if len(means) < 3 or not np.isclose(max(curve.values()), np.median(means)):  # else rounding decides
            assert median_stops(curve, other_curves, epoch, grace=grace) == (decision == TrialScheduler.STOP)
        if decision == TrialScheduler.STOP:
            break


@pytest.mark.parametrize(
    ("epochs", "grace", "factor", "expected"),
    [(9, 1, 3, {1: 3, 3: 2}), (27, 1, 3, {1: 9, 3: 5, 9: 3}), (1, 1, 3, {1: 1}), (9, 9, 3, {9: 1})],
)
def test_brackets_have_hyperbands_sizes_and_are_mixed(epochs, grace, factor, expected):
    firsts = brackets(grace, factor, epochs)
    assert {first: firsts.count(first) for first in firsts} == expected
    if len(expected) > 1:
        assert len(set(firsts[: len(firsts) // 2 + 1])) > 1
