"""LCBench's tables, with a model that is made here; the real one where there is one."""

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.search_quality import lcbench
from benchmarks.search_quality.lcbench import LCBench, tasks
from decouplenet.errors import InputError

CONFIG = {
    "batch_size": 64, "learning_rate": 0.01, "momentum": 0.5, "weight_decay": 0.01,
    "num_layers": 3, "max_units": 200, "max_dropout": 0.5,
}  # fmt: skip


@pytest.fixture
def calls(monkeypatch):
    """The calls of a model in which time is 2 * epoch, and accuracy 60 * momentum + epoch / 10 + the task's code."""
    made = []

    def predict(_, feeds):
        made.append(feeds)
        task, x = feeds["x_cat"][:, 0], feeds["x_cont"]
        outputs = np.zeros((len(x), 6), np.float32)
        outputs[:, 0], outputs[:, 1] = 2 * x[:, 0], 60 * x[:, 3] + x[:, 0] / 10 + task
        return [outputs]

    monkeypatch.setattr(lcbench, "_session", lambda file: SimpleNamespace(run=predict))
    monkeypatch.setattr(lcbench, "DRAWS", 300)
    return made


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "encoding.json").write_text(json.dumps({"OpenML_task_id": {"#na#": 0, "12": 1, "34": 2}}))
    return tmp_path


def test_curve_and_seconds_are_the_models(folder, calls):
    table = LCBench(folder, "34")
    calls.clear()
    epochs = np.arange(1, 51)
    assert table.curve(CONFIG) == pytest.approx((30 + epochs / 10 + 2) / 100)
    assert table.seconds(CONFIG) == pytest.approx(np.full(50, 2.0))
    assert len(calls) == 1  # one call for all epochs and both
    (feeds,) = calls
    assert feeds["x_cat"].dtype == np.int32
    assert feeds["x_cont"].dtype == np.float32
    assert feeds["x_cont"][6] == pytest.approx([7, 64, 0.01, 0.5, 0.01, 3, 200, 0.5])
    assert table.curve({**CONFIG, "momentum": 0.9}) == pytest.approx((54 + epochs / 10 + 2) / 100)


def test_the_best_is_that_of_random_draws(folder, calls):
    table = LCBench(folder, "12")
    assert 0.6 < table.best < (60 * 0.99 + 5 + 1) / 100
    assert [len(feeds["x_cont"]) for feeds in calls] == [300 * 5, 200 * 50]


def test_many_rows_go_in_several_calls(folder, calls, monkeypatch):
    monkeypatch.setattr(lcbench, "ROWS", 15)
    table = LCBench(folder, "12")
    calls.clear()
    assert table.curve(CONFIG) == pytest.approx((30 + np.arange(1, 51) / 10 + 1) / 100)
    assert [len(feeds["x_cont"]) for feeds in calls] == [15, 15, 15, 5]


def test_a_table_can_be_sent_to_another_process(folder, calls):
    table = LCBench(folder, "12")
    curve = table.curve(CONFIG)
    table._session = lambda: None
    assert pickle.loads(pickle.dumps(table)).curve(CONFIG).tolist() == curve.tolist()  # noqa: S301


def test_time_that_runs_back_takes_a_little(folder, calls, monkeypatch):
    table = LCBench(folder, "12")
    time = np.zeros((50, 6))
    time[:, 0] = [1, 2, 1.5, *range(3, 50)]
    monkeypatch.setattr(table, "_outputs", lambda config: time)
    assert table.seconds(CONFIG)[:4].tolist() == [1, 1, 49 / 50 / 1000, 1.5]


def test_unknown_tasks_and_folders_are_refused(folder):
    assert tasks(folder) == ["12", "34"]
    with pytest.raises(InputError, match="LCBench has no task '1'; valid: 12, 34"):
        LCBench(folder, "1")
    with pytest.raises(InputError, match="is not the folder of the surrogate"):
        tasks(folder / "none")


def test_the_real_surrogate(shared):
    table = LCBench(shared / "hpo" / "yahpo_lcbench", "126026")
    assert len(tasks(shared / "hpo" / "yahpo_lcbench")) == 35
    assert 0.98 < table.best < 1
    curve = table.curve(CONFIG)
    assert curve.shape == (50,)
    assert 0.5 < curve[-1] < table.best
    assert table.seconds(CONFIG).min() > 0
