"""The tables and the study while a search runs."""

from types import SimpleNamespace

import pytest

from decouple_search.ray_tune.callbacks import live_tables
from decouple_search.ray_tune.callbacks.live_tables import LiveTables
from decouple_search.space.yaml_file import load_space
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.record import Incumbent, StudyRecord, TrialRecord
from decouplenet.command_line import parse_config
from tests.decouple_search.ray_tune.stubs import StubTrial


@pytest.fixture
def tables(space_file, tmp_path):
    """The callback, its study, and the list that gets an entry each time that the clock is noted."""
    space = load_space(space_file())
    study, notes = open_study(tmp_path / "study.log", space), []
    clock = SimpleNamespace(note=lambda: notes.append("note"))
    incumbent = Incumbent("0000", 0.5)
    return LiveTables(tmp_path, study, space, parse_config(space.base), clock, lambda: incumbent), study, notes


def test_the_leaderboard_is_written_when_a_trial_ends(tables, tmp_path):
    callback, _, notes = tables
    callback.on_trial_result(0, [], StubTrial("0000"), {})
    assert (notes, (tmp_path / "leaderboard.csv").exists()) == (["note"], False)
    for event in (callback.on_trial_complete, callback.on_trial_error):
        event(0, [], StubTrial("0000"))
        (tmp_path / "leaderboard.csv").unlink()
    assert len(notes) == 3


def test_the_incumbent_is_recorded_when_a_trial_leaves(tables):
    callback, study, _ = tables
    assert StudyRecord(study).incumbent is None
    callback.on_trial_complete(0, [], StubTrial("0000"))
    assert StudyRecord(study).incumbent == Incumbent("0000", 0.5)


def test_the_newest_checkpoint_is_recorded_under_the_number_in_the_trials_name(tables):
    callback, study, _ = tables
    study.ask()
    callback.on_checkpoint(0, [], StubTrial("0000"), SimpleNamespace(path="trials/0000/checkpoint_000001"))
    assert TrialRecord(study.trials[0]).checkpoint == "trials/0000/checkpoint_000001"


def test_a_table_that_cannot_be_written_is_a_warning_and_costs_no_trial(tables, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "leaderboard.csv")

    monkeypatch.setattr(live_tables, "write_tables", full)
    tables[0].on_trial_complete(0, [], StubTrial("0000"))
    expected = "warning: the leaderboard was not written (No space left on device: leaderboard.csv)\n"
    assert capsys.readouterr().out == expected
