"""Live progress on a terminal and elsewhere."""

import pickle
import sys
from types import SimpleNamespace

import pytest

from decouple_search.ray_tune.callbacks.progress import LiveProgress


class Trial(SimpleNamespace):
    """What a callback sees of a trial of Tune."""

    def __str__(self):
        return self.name


def trial(number, folder="/none", **result):
    return Trial(
        name=f"{number:04d}", trial_id=str(number), last_result=result, checkpoint=None, local_path=str(folder)
    )


@pytest.mark.parametrize("terminal", [True, False])
def test_each_trial_is_printed_as_it_ends(monkeypatch, capsys, terminal):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    with LiveProgress(3, 2, "val_map", "max") as progress:
        pickle.dumps(progress)  # Tune does
        for epoch, value in ((1, 0.25), (2, 0.5)):
            progress.on_trial_result(0, [], trial(0), {"epoch": epoch, "val_map": value})
        progress.on_trial_complete(0, [], trial(0, epoch=2, val_map=0.5))
        progress.on_trial_complete(0, [], trial(1, epoch=1, val_map=0.1))
        progress.on_trial_complete(0, [], trial(2, epoch=0, failed="no [/bold] markup"))
    out = capsys.readouterr().out
    assert "trial 0000  COMPLETE after 2 epochs  val_map 0.5000" in out
    assert "trial 0001  PRUNED after 1 epochs" in out
    assert "trial 0002  FAIL: no [/bold] markup" in out
    assert ("epoch 1/2" in out) == (not terminal)


ERROR = """Failure # 1
Traceback (most recent call last):
  File "x.py", line 1, in y
KeyError: 'not the cause'
decouple_search.gang.gang.GangHungError: no worker got on for 2 s
\tpid: 12
"""


def test_what_happens_to_a_trial_on_its_way_is_said_once(capsys, tmp_path):
    (tmp_path / "error.txt").write_text(ERROR)
    with LiveProgress(3, 4, "val_map", "max") as progress:
        for epoch, lineage in ((1, []), (3, ["0001 epoch 2"]), (4, ["0001 epoch 2"])):
            progress.on_trial_result(0, [], trial(0), {"epoch": epoch, "val_map": 0.5, "lineage": lineage})
        progress.on_trial_recover(0, [], trial(2, tmp_path))
        progress.on_trial_error(0, [], trial(1))
    out = capsys.readouterr().out
    assert out.count("trial 0000  went on from trial 0001 epoch 2") == 1
    assert "trial 0002  goes on from the beginning, on a new gang: no worker got on for 2 s\n" in out
    assert "trial 0001  FAIL: its worker was lost" in out
    assert progress.failures == ["its worker was lost"]
