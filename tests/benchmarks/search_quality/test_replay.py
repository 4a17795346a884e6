"""The simulated clock, slots, paused trials, the anytime curve, noise and the ends of a replay."""

import numpy as np
import pytest

from benchmarks.search_quality.replay import Step, replay
from tests.benchmarks.search_quality.lines import Lines, Scripted


def told(searcher):
    return [(trial, epoch) for trial, epoch, *_ in searcher.reports]


def test_epochs_end_in_the_order_of_the_simulated_clock():
    searcher = Scripted([(7, {"x": 0.8}), (8, {"x": 0.2})])  # 8 and 2 seconds per epoch
    history = replay(searcher, Lines(), 2, 100)
    assert told(searcher) == [(8, 1), (8, 2), (8, 3), (7, 1), (8, 4), (7, 2), (7, 3), (7, 4)]
    assert [seconds for *_, seconds in searcher.reports] == [2, 2, 2, 8, 2, 8, 8, 8]
    assert history.steps[-1] == Step(8, 32.0, 0.8)
    assert history.trials == 2


def test_a_slot_is_filled_only_once_it_is_free():
    searcher = Scripted([(0, {"x": 0.4}), (1, {"x": 0.4})])
    history = replay(searcher, Lines(), 1, 100)
    assert told(searcher) == [(0, e) for e in range(1, 5)] + [(1, e) for e in range(1, 5)]
    assert history.steps[-1].seconds == 32


def test_none_waits_for_a_report_and_ends_the_replay_if_nothing_runs():
    searcher = Scripted([(0, {"x": 0.4}), None, (1, {"x": 0.4}), None, None])
    history = replay(searcher, Lines(epochs=1), 2, 100)
    assert told(searcher) == [(0, 1), (1, 1)]
    assert history.proposals == 5


def test_a_paused_trial_goes_on_from_its_last_epoch_and_a_stopped_one_never():
    jobs = [(0, {"x": 0.4}), (1, {"x": 0.2}), (0, {"x": 0.4})]
    searcher = Scripted(jobs, {(0, 2): "pause", (1, 1): "stop"})
    history = replay(searcher, Lines(), 1, 100)
    assert told(searcher) == [(0, 1), (0, 2), (1, 1), (0, 3), (0, 4)]
    assert history.trials == 2
    assert history.steps[-1].seconds == pytest.approx(4 * 4 + 2)


@pytest.mark.parametrize("verdicts", [{}, {(0, 1): "stop"}])
def test_a_trial_that_ended_is_refused(verdicts):
    with pytest.raises(ValueError, match="trial 0 was suggested while it runs, or after its end"):
        replay(Scripted([(0, {"x": 0.4}), (0, {"x": 0.4})], verdicts), Lines(), 1, 100)


def test_a_trial_that_runs_is_refused():
    with pytest.raises(ValueError, match="trial 0"):
        replay(Scripted([(0, {"x": 0.4}), (0, {"x": 0.4})]), Lines(), 2, 100)


def test_the_curve_has_each_improvement_and_the_end():
    history = replay(Scripted([(0, {"x": 0.8}), (1, {"x": 0.6})]), Lines(epochs=2), 1, 100)
    assert history.steps == [Step(1, 8, 0.4), Step(2, 16, 0.8), Step(4, 28, 0.8)]
    assert history.first(0.5) == Step(2, 16, 0.8)
    assert history.first(0.9) is None
    assert history.best_at(1) == 0.4
    assert history.best_at(0) == -np.inf


@pytest.mark.parametrize(("budget", "until", "end"), [(3, None, 3), (100, 0.4, 2), (100, 0.41, 3)])
def test_a_replay_ends_with_its_budget_or_at_a_value(budget, until, end):
    history = replay(Scripted([(0, {"x": 0.8})]), Lines(), 1, budget, until=until)
    assert history.steps[-1].epochs == end


def test_a_search_sees_noise_that_its_curve_has_not():
    def values(seed):
        searcher = Scripted([(0, {"x": 0.8}), (1, {"x": 0.8})])
        history = replay(searcher, Lines(noise=0.1), 1, 100, seed=seed)
        assert history.steps[-1].best == 0.8
        return np.array([value for *_, value, _ in searcher.reports])

    exact = np.tile([0.2, 0.4, 0.6, 0.8], 2)
    errors = np.concatenate([values(seed) - exact for seed in range(50)])
    assert errors.std() == pytest.approx(0.1, rel=0.2)
    assert (values(0) == values(0)).all()
    assert len(set((values(0) - exact).round(6))) == 8
    assert not (values(0) == values(1)).any()


def test_all_epochs_of_a_training_have_its_own_noise_in_common():
    def errors(seed):
        searcher = Scripted([(0, {"x": 0.8}), (1, {"x": 0.8})])
        replay(searcher, Lines(training_noise=0.1), 1, 100, seed=seed)
        return (np.array([value for *_, value, _ in searcher.reports]) - np.tile([0.2, 0.4, 0.6, 0.8], 2)).reshape(2, 4)

    each = np.concatenate([errors(seed) for seed in range(60)])
    assert each == pytest.approx(np.repeat(each[:, :1], 4, axis=1))
    assert each[:, 0].std() == pytest.approx(0.1, rel=0.2)
    assert len(set(each[:, 0].round(6))) == 120
