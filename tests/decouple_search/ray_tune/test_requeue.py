"""The trials that are proposed once more."""

from decouple_search.ray_tune.requeue import Requeue


def test_only_marked_trials_are_requeued():
    requeue = Requeue()
    assert not requeue.has("a")
    requeue.mark("a")
    requeue.mark("a")
    assert requeue.has("a")
    assert not requeue.has("b")


def test_a_pausing_trial_comes_back_unless_its_pause_was_lost():
    requeue = Requeue()
    requeue.pause("a")
    requeue.mark("b")
    assert [requeue.has(name) for name in "abc"] == [True, True, False]
    assert [requeue.is_pausing(name) for name in "abc"] == [True, False, False]
    for name in "abc":
        requeue.keep(name)
    assert [requeue.has(name) for name in "abc"] == [False, True, False]
    assert not requeue.is_pausing("a")
