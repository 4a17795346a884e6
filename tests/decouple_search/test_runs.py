"""What a search prints when it has ended."""

from dataclasses import replace

import pytest

from decouple_search.results.tables import Summary
from decouple_search.results.verdict import TestMeasures, Verdict
from decouple_search.runs import print_outcome
from decouple_search.storage.opening import open_folder
from decouplenet.errors import TrainingFailed

SUMMARY = Summary(
    trials=4,
    complete=1,
    pruned=2,
    failed=1,
    epochs=6,
    wall_seconds=20.4,
    busy_fraction=0.375,
    busy_fraction_warm=0.9375,
    objective="val_loss",
    best_value=0.25,
    best_val_map=0.5,
    best_trial_id="0002",
)


@pytest.fixture
def make_outcome():
    """Make the outcome of a search by val_loss."""
    from decouple_search.search_run import Outcome

    def make(**changed):
        best = {"optim.lr": 0.00123456, "model.attention": "arch1"}
        outcome = Outcome(summary=SUMMARY, best=best, failure=None, interrupted=False, spent="")
        return replace(outcome, **changed)

    return make


def test_the_report_has_the_objective_and_the_best_parameters(make_outcome, tmp_path, capsys):
    folder = open_folder(str(tmp_path), "x")
    folder.local.mkdir()
    (folder.local / "leaderboard.csv").touch()
    print_outcome(make_outcome(spent="40 s (--time-budget)"), folder)
    assert capsys.readouterr().out.splitlines() == [
        "4 trials (1 complete, 2 pruned, 1 failed) in 20 s; workers busy 38%, 94% once warm",
        "ended      40 s (--time-budget)",
        "best       trial 0002, val_loss 0.2500",
        "             optim.lr = 0.001235",
        "             model.attention = arch1",
        f"             {tmp_path}/x/leaderboard.csv",
    ]


def test_the_report_counts_screened_heads_apart(make_outcome, tmp_path, capsys):
    print_outcome(make_outcome(summary=replace(SUMMARY, screened=64)), open_folder(str(tmp_path), "x"))
    assert capsys.readouterr().out.startswith("64 heads screened, 4 trials (1 complete, ")


def test_the_report_of_several_objectives_has_the_pareto_set(make_outcome, tmp_path, capsys):
    summary = replace(SUMMARY, pareto=("0001", "0002"))
    print_outcome(make_outcome(summary=summary), open_folder(str(tmp_path), "x"))
    assert "pareto     trials 0001, 0002; of these the best in the first objective:" in capsys.readouterr().out


def test_the_report_of_an_interrupted_search_says_how_to_resume(make_outcome, tmp_path, capsys):
    print_outcome(make_outcome(interrupted=True), open_folder(str(tmp_path), "x"))
    message = "interrupted; the results so far are above, and the same command resumes the search\n"
    assert capsys.readouterr().out.endswith(message)


def test_a_search_without_a_value_has_failed(make_outcome, tmp_path):
    summary = replace(SUMMARY, best_value=None, best_val_map=None, best_trial_id=None)
    outcome = make_outcome(summary=summary, best=None, failure="out of memory")
    with pytest.raises(TrainingFailed, match="^no trial ended well: out of memory$"):
        print_outcome(outcome, open_folder(str(tmp_path), "x"))


def test_an_interrupted_search_without_a_value_can_still_be_resumed(make_outcome, tmp_path, capsys):
    summary = replace(SUMMARY, best_value=None, best_val_map=None, best_trial_id=None)
    outcome = make_outcome(summary=summary, best=None, failure="out of memory", interrupted=True)
    print_outcome(outcome, open_folder(str(tmp_path), "x"))
    message = "interrupted: no trial ended well: out of memory; the same command resumes the search\n"
    assert capsys.readouterr().err == message


def test_notes_on_the_ranges_come_after_the_best_parameters(make_outcome, tmp_path, capsys):
    print_outcome(make_outcome(notes=("optim.lr: a note", "model.alpha: another")), open_folder(str(tmp_path), "x"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "             model.attention = arch1",
        "note       optim.lr: a note",
        "note       model.alpha: another",
    ]


def test_the_report_has_the_winners_measures_measuring(make_outcome, tmp_path, capsys):
    test = TestMeasures(trial_id="0002", epoch=1, images=1, metrics={"map": 0.5})
    outcome = make_outcome(summary=replace(SUMMARY, verdict=Verdict(test=test)))
    print_outcome(outcome, open_folder(str(tmp_path), "x"))
    assert "test       map 0.5000 on 1 test image\n" in capsys.readouterr().out
