"""Live progress on a terminal and elsewhere."""

import pickle
import sys
from types import SimpleNamespace

import pytest

from decouple_search.progress import LiveProgress


def trial(number, **result):
    return SimpleNamespace(config={"trial": number}, last_result=result, get_error=lambda: None)


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
