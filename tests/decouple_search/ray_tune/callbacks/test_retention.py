"""Checkpoints on disk: bounded, and never without the one that is the best."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple_search.ray_tune.callbacks.retention import Retention
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.folder import folder_at


class Trial(SimpleNamespace):
    """What a callback sees of a trial of Tune."""

    def __init__(self, name):
        super().__init__(name=name, trial_id=name, checkpoint=None, last_result={}, ended=False)

    def __str__(self):
        return self.name

    def is_finished(self):
        """Whether it has ended."""
        return self.ended


class Folder:
    """Trials that write checkpoints into a folder, as Tune does."""

    def __init__(self, root, **options):
        self.root = root
        checkpoints = Checkpoints(folder_at(str(root)))
        self.retention = Retention(checkpoints, **({"keep": 2, "metric": "val_map", "mode": "max"} | options))
        self.count = 0
        self.seen = {}

    def trials(self, name=None, checkpoint=None):
        """All trials as Tune sees them; the named one has written a checkpoint."""
        if name:
            self.seen.setdefault(name, Trial(name)).checkpoint = checkpoint
        return list(self.seen.values())

    def save(self, trial, value):
        """A trial writes a checkpoint."""
        self.count += 1
        folder = self.root / trial / f"checkpoint_{self.count:06d}"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"val_map": value}))
        checkpoint = SimpleNamespace(path=str(folder))
        self.retention.on_checkpoint(0, self.trials(trial, checkpoint), self.seen[trial], checkpoint)

    def end(self, trial, result=None):
        """A trial ends by itself."""
        self.seen[trial].last_result, self.seen[trial].ended = result or {}, True
        self.retention.on_trial_complete(0, self.trials(), self.seen[trial])

    def lose(self, trial):
        """Tune gives a trial up."""
        self.seen[trial].ended = True
        self.retention.on_trial_error(0, self.trials(), self.seen[trial])

    @property
    def there(self):
        """The objectives of the checkpoints on disk, best first."""
        found = [json.loads(file.read_text())["val_map"] for file in self.root.glob("*/*/metrics.json")]
        return sorted(found, reverse=True)


@pytest.fixture
def folder(tmp_path):
    return lambda **options: Folder(tmp_path, **options)


def test_a_running_trial_has_its_best_and_its_newest(folder):
    folder = folder()
    for value in (0.1, 0.3, 0.2):
        folder.save("a", value)
    assert folder.there == [0.3, 0.2]
    folder.save("a", 0.4)
    assert folder.there == [0.4]


def test_of_the_ended_the_best_stay(folder):
    folder = folder()
    for trial, value in (("a", 0.3), ("b", 0.1), ("c", 0.2), ("d", 0.4)):
        folder.save(trial, value)
        folder.end(trial)
    assert folder.there == [0.4, 0.3]


def test_less_is_more_where_the_objective_is_a_loss(folder):
    folder = folder(mode="min")
    for trial, value in (("a", 0.3), ("b", 0.1), ("c", 0.2)):
        folder.save(trial, value)
        folder.end(trial)
    assert folder.there == [0.2, 0.1]


def test_failed_trials_come_last(folder):
    folder = folder()
    for trial, value in (("a", 0.9), ("b", 0.8), ("c", 0.1), ("d", 0.2)):
        folder.save(trial, value)
    folder.end("a", {"failed": "the loss is nan"})
    folder.lose("b")
    assert folder.there == [0.9, 0.8, 0.2, 0.1]
    folder.end("c")
    folder.end("d")
    assert folder.there == [0.2, 0.1]


def test_of_equals_the_first_proposed_stays_as_on_the_leaderboard(folder):
    folder = folder(keep=1)
    for trial in "badc":
        folder.save(trial, 1.0)
        folder.end(trial)
    assert [f.parent.name for f in folder.root.glob("*/*")] == ["a"]


def test_what_another_trial_would_start_again_from_stays(folder):
    folder = folder(recent=2, keep=1)
    for value in (0.5, 0.1, 0.2):
        folder.save("a", value)
    folder.save("b", 0.3)
    donors = folder.seen["a"].checkpoint
    folder.seen["b"].checkpoint = donors  # as pbt makes it
    for value in (0.6, 0.7, 0.8):
        folder.save("a", value)
    assert folder.there == [0.8, 0.7, 0.3, 0.2]
    folder.end("a")
    assert folder.there == [0.8, 0.3, 0.2]
    folder.save("b", 0.4)  # from now on it has one of its own
    assert folder.there == [0.8, 0.4, 0.3]


def test_trials_that_the_budget_ended_count_as_ended(folder):
    folder = folder()
    for trial, value in (("a", 0.3), ("b", 0.1), ("c", 0.2)):
        folder.save(trial, value)
    folder.retention.finish()
    assert folder.there == [0.3, 0.2]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_the_best_is_there_and_the_rest_is_bounded(tmp_path_factory, events):
    """Any order of saves and ends of trials of which at most three run at a time."""
    folder = Folder(tmp_path_factory.mktemp("r"), keep=2)
    running, ended, best = [], set(), 0.0
    for number, value, ends in events:
        trial = str(number)
        if trial in ended or (trial not in running and len(running) == 3):
            continue
        if trial not in running:
            running.append(trial)
        folder.save(trial, value)
        best = max(best, value)
        if ends:
            folder.end(trial)
            running.remove(trial)
            ended.add(trial)
        assert max(folder.there) == best
        assert len(folder.there) <= 2 + 2 * len(running)
