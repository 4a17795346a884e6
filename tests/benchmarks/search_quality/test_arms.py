"""Searches that run in this process obey the protocol, and differ by their seed alone."""

import pytest

from benchmarks.search_quality.arms import HERE, searcher
from benchmarks.search_quality.replay import replay
from tests.benchmarks.search_quality.lines import Lines


@pytest.mark.parametrize("arm", HERE)
def test_an_arm_searches(arm):
    def steps(seed):
        table = Lines(epochs=2)
        with searcher(arm, table, 2, seed, pythons=(), time_limit=1) as search:
            history = replay(search, table, 2, 8)
        assert history.steps[-1].epochs == 8
        assert history.trials >= 4
        return history.steps

    first = steps(0)
    assert 0.2 < first[-1].best <= 1
    assert steps(0) == first
    assert steps(1) != first
