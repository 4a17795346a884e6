"""Live progress on a terminal and elsewhere."""

import math
import pickle
import sys

import pytest

from decouple_search.ray_tune.callbacks.progress import LiveProgress
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.space.objective import Objective
from decouple_search.study.record import Incumbent
from tests.decouple_search.ray_tune.stubs import StubTrial, epoch_dict, failure_dict

VAL_MAP = Objective("val_map", "max")
ERROR = """Failure # 1
Traceback (most recent call last):
  File "x.py", line 1, in y
KeyError: 'not the cause'
decouple_search.gang.errors.GangHungError: no worker made progress for 2 s
\tpid: 12
"""


def stub(number, **options):
    """A trial with this number in the study."""
    return StubTrial(f"{number:04d}", trial_id=str(number), **options)


@pytest.mark.parametrize("terminal", [True, False])
def test_each_trial_is_printed_when_it_ends(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    with LiveProgress(3, 2, VAL_MAP) as progress:
        pickle.dumps(progress)  # Tune does
        for epoch, value in ((1, 0.25), (2, 0.5)):
            progress.on_trial_result(0, [], stub(0), epoch_dict(epoch, value))
        progress.on_trial_complete(0, [], stub(0, result=epoch_dict(2, 0.5)))
        progress.on_trial_complete(0, [], stub(1, result=epoch_dict(1, 0.1)))
        progress.on_trial_complete(0, [], stub(2, result=failure_dict("no [/bold] markup")))
    out = capsys.readouterr().out
    assert "trial 0000  COMPLETE after 2 epochs  val_map 0.5000" in out
    assert "trial 0001  PRUNED after 1 epoch" in out
    assert "trial 0002  FAIL: no [/bold] markup" in out
    assert ("epoch 1/2" in out) == (not terminal)
    assert progress.failures == ["no [/bold] markup"]


def test_the_best_value_is_that_of_the_objective(capsys):
    with LiveProgress(3, 4, Objective("val_loss", "min")) as progress:
        progress.set_best(0.5, "0007")
        for epoch, loss in ((1, math.nan), (2, 0.6), (3, 0.4)):
            progress.on_trial_result(0, [], stub(0), epoch_dict(epoch, 0.1, val_loss=loss))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("val_loss ")[2] for line in lines] == [
        "nan  best 0.5000 (0007)",
        "0.6000  best 0.5000 (0007)",
        "0.4000  best 0.4000 (0000)",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_incumbent_stands_beside_the_best_value(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    incumbents = iter([None, Incumbent("0003", 0.45)])
    with LiveProgress(3, 4, VAL_MAP, incumbent=lambda: next(incumbents)) as progress:
        progress.set_best(0.5, "0007")
        for epoch in (1, 2):
            progress.on_trial_result(0, [], stub(0), epoch_dict(epoch, 0.2))
            if terminal:
                assert progress._bar.tasks[0].description.endswith(("(0007)", "expected 0.4500 (0003)")[epoch - 1])
    if not terminal:
        lines = capsys.readouterr().out.splitlines()
        assert [line.partition("best ")[2] for line in lines] == [
            "0.5000 (0007)",
            "0.5000 (0007)  expected 0.4500 (0003)",
        ]


def test_what_happens_to_a_running_trial_is_printed_once(capsys, tmp_path):
    (tmp_path / "error.txt").write_text(ERROR)
    with LiveProgress(3, 4, VAL_MAP) as progress:
        for epoch, lineage in ((1, ()), (3, ("0001 epoch 2",)), (4, ("0001 epoch 2",))):
            progress.on_trial_result(0, [], stub(0), epoch_dict(epoch, 0.5, lineage=lineage, note="slow disk"))
        progress.on_trial_recover(0, [], stub(2, folder=tmp_path))
        progress.on_trial_recover(0, [], stub(2, folder=tmp_path, checkpoint="a checkpoint"))
        progress.on_trial_error(0, [], stub(1))
    out = capsys.readouterr().out
    assert out.count("trial 0000  continued from trial 0001 epoch 2") == 1
    assert out.count("trial 0000  slow disk") == 1
    reason = "on a new gang: no worker made progress for 2 s\n"
    assert f"trial 0002  restarts from the beginning, {reason}" in out
    assert f"trial 0002  restarts from its last checkpoint, {reason}" in out
    assert "trial 0001  FAIL: its worker was lost" in out
    assert progress.failures == ["its worker was lost"]


def test_a_requeued_trial_has_not_ended(capsys, tmp_path):
    (tmp_path / "error.txt").write_text(ERROR)
    requeue = Requeue()
    with LiveProgress(3, 4, VAL_MAP, requeue=requeue) as progress:
        for number in range(3):
            requeue.mark(str(number))
        progress.on_trial_error(0, [], stub(0, folder=tmp_path))
        progress.on_trial_complete(0, [], stub(1))
        progress.on_trial_complete(0, [], stub(2, result=failure_dict("no folder")))
    out = capsys.readouterr().out
    assert "trial 0000  requeued: no worker made progress for 2 s" in out
    assert "trial 0001  requeued: its machines are not there" in out
    assert "trial 0002  requeued: no folder" in out
    assert "/3]" not in out
    assert progress.failures == []


@pytest.mark.parametrize("terminal", [True, False])
def test_a_training_of_a_finalist_says_so_and_is_no_claim_of_the_search(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    finalist = stub(4, repeat_of=2, result=epoch_dict(2, 0.9))
    with LiveProgress(1, 2, VAL_MAP, repeats=1) as progress:
        progress.set_best(0.5, "0002")
        progress.on_trial_result(0, [], finalist, epoch_dict(1, 0.9))
        progress.on_trial_complete(0, [], finalist)
        progress.on_trial_result(0, [], stub(0), epoch_dict(1, 0.4))
        progress.on_trial_complete(0, [], stub(0, result=epoch_dict(2, 0.4)))
    out = capsys.readouterr().out
    assert "trial 0004  COMPLETE after 2 epochs  val_map 0.9000  trial 0002 anew" in out
    if not terminal:
        assert "trial 0004  epoch 1/2  val_map 0.9000  trial 0002 anew\n" in out
        assert "best 0.5000 (0002)" in out
        assert "val_map 0.4000  [1/1]" in out


@pytest.mark.parametrize("terminal", [True, False])
def test_the_first_pause_of_a_trial_is_printed_and_counts_and_later_ones_do_not(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    requeue = Requeue()
    requeue.pause("0")
    with LiveProgress(3, 3, VAL_MAP, requeue=requeue) as progress:
        progress.on_trial_complete(0, [], stub(0, result=epoch_dict(1, 0.25)))
        progress.on_trial_complete(0, [], stub(0, result=epoch_dict(2, 0.25)))
        progress.on_trial_complete(0, [], stub(1, result=epoch_dict(3, 0.5)))
        requeue.keep("0")
        progress.on_trial_complete(0, [], stub(0, result=epoch_dict(3, 0.75)))
    out = capsys.readouterr().out
    assert out.count("paused") == 1
    assert "trial 0000  paused after 1 epoch" in out
    assert "trial 0001  COMPLETE after 3 epochs  val_map 0.5000" in out
    assert "trial 0000  COMPLETE after 3 epochs  val_map 0.7500" in out
    if terminal:
        assert "2/3" in out
    else:
        assert "paused after 1 epoch  [1/3]\n" in out
        assert "0.5000  [2/3]\n" in out
        assert "0.7500\n" in out


@pytest.mark.parametrize("terminal", [True, False])
def test_a_screened_trial_says_so_and_is_no_claim_of_the_search(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    screened = {"screened": True, "config": {"train.epochs": 4}}
    with LiveProgress(2, 9, VAL_MAP) as progress:
        progress.on_trial_result(0, [], stub(0, **screened), epoch_dict(3, 0.9))
        progress.on_trial_complete(0, [], stub(0, result=epoch_dict(4, 0.9), **screened))
        progress.on_trial_result(0, [], stub(1), epoch_dict(9, 0.25))
        progress.on_trial_complete(0, [], stub(1, result=epoch_dict(9, 0.25)))
    out = capsys.readouterr().out
    assert "trial 0000  COMPLETE after 4 epochs  val_map 0.9000  screened\n" in out
    assert ("trial 0000  epoch 3/4  val_map 0.9000  screened\n" in out) == (not terminal)
    assert "best 0.9" not in out
    assert ("COMPLETE after 9 epochs  val_map 0.2500  [1/2]" in out) == (not terminal)
    if not terminal:
        assert "best 0.2500 (0001)" in out
