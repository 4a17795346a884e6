"""Checkpoints on disk: their number is bounded, and the best one is among them."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple_search.ray_tune.callbacks.retention import Retention
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.space.objective import Objective
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.opening import folder_at
from decouple_search.study.resume import EarlierTrial
from tests.decouple_search.ray_tune.stubs import StubTrial, failure_dict


class TrialsOnDisk:
    """Trials that write checkpoints into a folder, as Tune does."""

    def __init__(self, root, *, keep=2, mode="max", **options):
        self.root = root
        checkpoints = Checkpoints(folder_at(str(root)))
        self.retention = Retention(checkpoints, keep, Objective("val_map", mode), **options)
        self.count = 0
        self.trials = {}

    def save(self, name, value):
        """A trial writes a checkpoint."""
        self.count += 1
        folder = self.root / name / f"checkpoint_{self.count:06d}"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"val_map": value}))
        trial = self.trials.setdefault(name, StubTrial(name))
        trial.checkpoint = SimpleNamespace(path=str(folder))
        self.retention.on_checkpoint(0, list(self.trials.values()), trial, trial.checkpoint)

    def end(self, name, result=None):
        """A trial ends by itself."""
        trial = self.trials[name]
        trial.last_result, trial.finished = result or {}, True
        self.retention.on_trial_complete(0, list(self.trials.values()), trial)

    def lose(self, name):
        """Tune gives a trial up."""
        self.trials[name].finished = True
        self.retention.on_trial_error(0, list(self.trials.values()), self.trials[name])

    @property
    def kept(self):
        """The objective of each checkpoint on disk, highest first."""
        values = [json.loads(file.read_text())["val_map"] for file in self.root.glob("*/*/metrics.json")]
        return sorted(values, reverse=True)


@pytest.fixture
def on_disk(tmp_path):
    return lambda **options: TrialsOnDisk(tmp_path, **options)


def test_a_running_trial_keeps_its_best_and_its_newest_checkpoint(on_disk):
    disk = on_disk()
    for value in (0.1, 0.3, 0.2):
        disk.save("a", value)
    assert disk.kept == [0.3, 0.2]
    disk.save("a", 0.4)
    assert disk.kept == [0.4]


def test_the_best_ended_trials_keep_their_checkpoint(on_disk):
    disk = on_disk()
    for trial, value in (("a", 0.3), ("b", 0.1), ("c", 0.2), ("d", 0.4)):
        disk.save(trial, value)
        disk.end(trial)
    assert disk.kept == [0.4, 0.3]


def test_the_lowest_value_is_the_best_where_the_objective_is_minimised(on_disk):
    disk = on_disk(mode="min")
    for trial, value in (("a", 0.3), ("b", 0.1), ("c", 0.2)):
        disk.save(trial, value)
        disk.end(trial)
    assert disk.kept == [0.2, 0.1]


def test_failed_trials_rank_last(on_disk):
    disk = on_disk()
    for trial, value in (("a", 0.9), ("b", 0.8), ("c", 0.1), ("d", 0.2)):
        disk.save(trial, value)
    disk.end("a", failure_dict("the loss is nan"))
    disk.lose("b")
    assert disk.kept == [0.9, 0.8, 0.2, 0.1]
    disk.end("c")
    disk.end("d")
    assert disk.kept == [0.2, 0.1]


def test_of_equal_trials_the_first_proposed_keeps_its_checkpoint_as_in_the_leaderboard(on_disk):
    disk = on_disk(keep=1)
    for trial in "badc":
        disk.save(trial, 1.0)
        disk.end(trial)
    assert [folder.parent.name for folder in disk.root.glob("*/*")] == ["a"]


def test_a_checkpoint_that_another_trial_would_restart_from_stays(on_disk):
    disk = on_disk(recent=2, keep=1)
    for value in (0.5, 0.1, 0.2):
        disk.save("a", value)
    disk.save("b", 0.3)
    disk.trials["b"].checkpoint = disk.trials["a"].checkpoint  # pbt gives it its donor's
    for value in (0.6, 0.7, 0.8):
        disk.save("a", value)
    assert disk.kept == [0.8, 0.7, 0.3, 0.2]
    disk.end("a")
    assert disk.kept == [0.8, 0.3, 0.2]
    disk.save("b", 0.4)  # from now on it has one of its own
    assert disk.kept == [0.8, 0.4, 0.3]


def test_a_requeued_trial_keeps_its_checkpoints(on_disk):
    requeue = Requeue()
    disk = on_disk(keep=1, requeue=requeue)
    disk.save("a", 0.5)
    disk.end("a")
    for name, end in (("b", disk.end), ("c", disk.lose)):
        disk.save(name, 0.1)
        requeue.mark(name)
        end(name)
    assert disk.kept == [0.5, 0.1, 0.1]


def test_finish_counts_running_trials_as_ended(on_disk):
    disk = on_disk()
    for trial, value in (("a", 0.3), ("b", 0.1), ("c", 0.2)):
        disk.save(trial, value)
    disk.retention.finish()
    assert disk.kept == [0.3, 0.2]


def test_trials_of_earlier_runs_are_ranked_with_the_others(tmp_path, monkeypatch):
    """A checkpoint that was not written to the end is deleted."""
    monkeypatch.setattr(Checkpoints, "is_whole", lambda self, path: "broken" not in path)
    for trial, name, value in (
        ("a", "checkpoint_000000", 0.2),
        ("b", "checkpoint_000000", 0.4),
        ("c", "checkpoint_000000", 0.9),
        ("d", "checkpoint_000000", 0.1),
        ("d", "checkpoint_broken", 1.0),
    ):
        folder = tmp_path / "trials" / trial / name
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"val_map": value}))
    earlier = {
        "a": EarlierTrial(ended=True, succeeded=True),
        "b": EarlierTrial(ended=True, succeeded=True),
        "c": EarlierTrial(ended=True, succeeded=False),
        "d": EarlierTrial(ended=False, succeeded=True),
    }
    checkpoints = Checkpoints(folder_at(str(tmp_path)))
    retention = Retention(checkpoints, 1, Objective("val_map", "max"), earlier=earlier)
    assert {trial: len(paths) for trial, paths in checkpoints.all().items()} == {"a": 1, "b": 1, "c": 1, "d": 1}
    retention.finish()
    assert list(checkpoints.all()) == ["b"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_the_best_checkpoint_stays_and_the_number_of_the_others_is_bounded(tmp_path_factory, events):
    """In any order of saves and ends of trials of which at most three run at the same time."""
    disk = TrialsOnDisk(tmp_path_factory.mktemp("r"), keep=2)
    running, ended, best = [], set(), 0.0
    for number, value, ends in events:
        trial = str(number)
        if trial in ended or (trial not in running and len(running) == 3):
            continue
        if trial not in running:
            running.append(trial)
        disk.save(trial, value)
        best = max(best, value)
        if ends:
            disk.end(trial)
            running.remove(trial)
            ended.add(trial)
        assert max(disk.kept) == best
        assert len(disk.kept) <= 2 + 2 * len(running)


def test_the_best_training_of_each_finalist_keeps_its_best_checkpoint(on_disk):
    """The winner is not known before all of them have ended, and its values may be lower than those of trials."""
    disk = on_disk(keep=2)
    trials = ((None, 0.9), (None, 0.7), (None, 0.8), (0, 0.5), (0, 0.6), (1, 0.4))
    for number, (finalist, value) in enumerate(trials):
        name = f"{number:04d}"
        disk.trials[name] = StubTrial(name, repeat_of=finalist)
        disk.save(name, value)
        disk.end(name)
    assert disk.kept == [0.9, 0.8, 0.6, 0.4]


def test_the_finalists_of_an_earlier_run_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoints, "is_whole", lambda self, path: True)
    for trial, value in (("0000", 0.9), ("0001", 0.5), ("0002", 0.6)):
        folder = tmp_path / "trials" / trial / "checkpoint_000000"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"val_map": value}))
    earlier = {
        "0000": EarlierTrial(ended=True, succeeded=True),
        "0001": EarlierTrial(ended=True, succeeded=True, repeat_of="0000"),
        "0002": EarlierTrial(ended=False, succeeded=True, repeat_of="0000"),
    }
    checkpoints = Checkpoints(folder_at(str(tmp_path)))
    Retention(checkpoints, 1, Objective("val_map", "max"), earlier=earlier).finish()
    assert list(checkpoints.all()) == ["0000", "0002"]


def test_a_paused_trial_keeps_its_newest_and_its_best_checkpoint_until_it_has_gone_on(on_disk):
    requeue = Requeue()
    disk = on_disk(keep=1, requeue=requeue)
    for value in (0.4, 0.5, 0.3):
        disk.save("a", value)
    requeue.pause("a")
    disk.end("a")
    disk.save("b", 0.9)
    disk.end("b")
    assert disk.kept == [0.9, 0.5, 0.3]
    disk.trials["a"] = StubTrial("a", trial_id="another")
    disk.save("a", 0.6)
    assert disk.kept == [0.9, 0.6]
    disk.end("a")
    assert disk.kept == [0.9]


def test_trials_that_end_while_they_are_paused_are_ranked_with_the_others(on_disk):
    requeue, ended = Requeue(), set()
    disk = on_disk(keep=2, requeue=requeue, ended=lambda: ended)
    for trial, values in (("a", (0.5, 0.3)), ("b", (0.9, 0.2)), ("c", (0.4, 0.1))):
        for value in values:
            disk.save(trial, value)
        requeue.pause(trial)
        disk.end(trial)
    assert disk.kept == [0.9, 0.5, 0.4, 0.3, 0.2, 0.1]
    ended |= {"a", "b"}
    disk.save("d", 0.6)
    disk.end("d")
    assert disk.kept == [0.9, 0.6, 0.4, 0.1]
