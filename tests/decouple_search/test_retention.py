"""Checkpoints on disk: bounded, and never without the one that is the best."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple_search.retention import Retention


class Folder:
    """Trials that write checkpoints into a folder, as Tune does."""

    def __init__(self, root, **options):
        self.root = root
        self.retention = Retention(**({"keep": 2, "metric": "val_map", "mode": "max"} | options))
        self.count = 0

    def save(self, trial, value):
        """A trial writes a checkpoint."""
        self.count += 1
        folder = self.root / trial / f"checkpoint_{self.count:06d}"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"val_map": value}))
        self.retention.on_checkpoint(0, [], SimpleNamespace(trial_id=trial), SimpleNamespace(path=str(folder)))

    def end(self, trial, result=None):
        """A trial ends by itself."""
        self.retention.on_trial_complete(0, [], SimpleNamespace(trial_id=trial, last_result=result or {}))

    def lose(self, trial):
        """Tune gives a trial up."""
        self.retention.on_trial_error(0, [], SimpleNamespace(trial_id=trial))

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


def test_donors_stay_until_the_end(folder):
    folder = folder(recent=3, at_end=True)
    for value in (0.5, 0.1, 0.2, 0.3, 0.4):
        folder.save("a", value)
    assert folder.there == [0.5, 0.4, 0.3, 0.2]
    folder.end("a")
    for trial in "bcd":
        folder.save(trial, 0.6)
        folder.end(trial)
    assert len(folder.there) == 7
    folder.retention.on_experiment_end([])
    assert folder.there == [0.6, 0.6]


def test_interrupted_trials_count_as_ended(folder):
    folder = folder()
    for trial, value in (("a", 0.3), ("b", 0.1), ("c", 0.2)):
        folder.save(trial, value)
    folder.retention.on_experiment_end([])
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
