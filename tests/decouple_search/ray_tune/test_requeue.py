"""The trials that are proposed once more."""

from decouple_search.ray_tune.requeue import Requeue


def test_only_marked_trials_are_requeued():
    requeue = Requeue()
    assert not requeue.has("a")
    requeue.mark("a")
    requeue.mark("a")
    assert requeue.has("a")
    assert not requeue.has("b")
