"""Searches that ask for budgets: trials pause at them and go on from their checkpoints."""

from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.peers.rungs import Asked, RungSearch
from benchmarks.search_quality.searcher import Job


class Listed(RungSearch):
    """Asks for what is in a list; keeps what it is told."""

    def __init__(self, *asked):
        super().__init__(Problem(parameters=(), epochs=9, slots=1, seed=0))
        self.asked = [Asked({"x": x}, epoch, handle) for handle, (x, epoch) in enumerate(asked)]
        self.told = []

    def ask(self):
        """The next of the list."""
        return self.asked.pop(0) if self.asked else None

    def tell(self, asked, value, seconds):
        """Keep it."""
        self.told.append((asked.handle, value, seconds))


def test_a_trial_pauses_at_its_budget_and_goes_on_to_the_next():
    search = Listed((0.5, 2), (0.5, 3))
    assert search.suggest() == Job(0, {"x": 0.5})
    assert search.report(0, 1, 0.1, 7.0) == "continue"
    assert search.report(0, 2, 0.2, 7.0) == "pause"
    assert search.suggest() == Job(0, {"x": 0.5})
    assert search.report(0, 3, 0.3, 7.0) == "pause"
    assert search.told == [(0, 0.2, 14.0), (1, 0.3, 21.0)]
    assert search.suggest() is None


def test_what_was_trained_already_is_answered_from_its_results():
    search = Listed((0.5, 2), (0.5, 1), (0.5, 2), (0.6, 1))
    search.suggest()
    search.report(0, 1, 0.1, 7.0)
    search.report(0, 2, 0.2, 7.0)
    assert search.suggest() == Job(1, {"x": 0.6})
    assert search.told == [(0, 0.2, 14.0), (1, 0.1, 7.0), (2, 0.2, 14.0)]


def test_a_copy_of_a_running_configuration_is_another_trial():
    search = Listed((0.5, 1), (0.5, 2))
    assert (search.suggest().trial, search.suggest().trial) == (0, 1)
