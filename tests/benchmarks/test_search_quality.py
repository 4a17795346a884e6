"""Tables of several forms are read, and other files are refused; a replay counts the epochs that it trains."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.search_quality import DEFAULT, main, ours, read_table, replay, stock
from decouple_search.space.objective import Objective
from decouplenet.errors import InputError

ROWS = list(csv.DictReader(DEFAULT.open()))


def write_and_read(folder, rows):
    """The table of some rows, written as a file and read again."""
    file = folder / "table.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return read_table(file)


def test_the_recorded_table_is_of_the_demos_space():
    table = read_table(DEFAULT)
    assert table.curves.shape == (320, 9)
    assert table.space.objectives == (Objective("val_map", "max"),)
    assert {parameter.key: parameter.kind for parameter in table.space.parameters} == {
        "model.maps_per_class": "int", "model.upsampling": "choice", "model.attention": "choice",
        "model.k_pos": "float", "model.alpha": "float", "model.k_neg": "float", "optim.lr": "float",
    }  # fmt: skip
    logs = {parameter.key for parameter in table.space.parameters if parameter.log}
    assert logs == {"model.maps_per_class", "model.k_pos", "model.k_neg", "optim.lr"}
    assert "none" in table.space.parameters[1].values


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        (lambda i, row: row | {"epoch": int(row["epoch"]) - 1}, (320, 9)),
        (lambda i, row: row | {"epoch": f"{row['epoch']}.0"}, (320, 9)),
        (lambda i, row: row | {"val_map": "nan" if i == 5 else row["val_map"]}, (319, 9)),
        (lambda i, row: row | {"val_map": "" if i == 5 else row["val_map"], "data.x": ""}, (319, 9)),
        (lambda i, row: row | {"trial_id": i // 9, "note": i}, (320, 9)),
        (lambda i, row: row | {"model.k_neg": "" if i // 9 % 2 else row["model.k_neg"]}, (320, 9)),
        (lambda i, row: row if i // 9 < 40 and (i // 9 < 3 or int(row["epoch"]) < 5) else None, (40, 4)),
    ],
)
def test_tables_of_other_forms(tmp_path, change, shape):
    table = write_and_read(tmp_path, [row for i, old in enumerate(ROWS) if (row := change(i, old)) is not None])
    assert table.curves.shape == shape
    assert [parameter.key for parameter in table.space.parameters] == [name for name in ROWS[0] if "." in name]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:45], "5 whole configurations of 9 epochs"),
        ([row | {"epoch": "x"} for row in ROWS], "table.csv:2: epoch and val_map must be numbers"),
        ([{"epoch": 1, "map": 0.5}], "needs one row per epoch"),
    ],
)
def test_other_files_are_refused(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        write_and_read(tmp_path, rows)
    with pytest.raises(InputError, match="cannot be read"):
        read_table(Path("/never.csv"))


@pytest.mark.parametrize("arm", [ours, stock])
def test_a_replay_counts_the_epochs_of_all_trials(arm):
    table = read_table(DEFAULT)
    trained = []

    def curve(point):
        trained.append(point)
        return np.linspace(0.1, 0.2, 9) + 0.5 * (len(trained) == 5)  # the fifth reaches the target in its first epoch

    surrogate = SimpleNamespace(table=table, best=0.6, curve=curve)
    count = replay(arm(table, 0, 4), surrogate, 4, 500)
    assert len(trained) in range(5, 10)
    assert count in range(5, 5 * 9)
    trained.clear()
    surrogate.best = 9.0
    assert replay(arm(table, 0, 4), surrogate, 4, 60) == 60


def test_flags_that_take_several_values_are_typed():
    with pytest.raises(InputError, match="--slots: .* is not list"):
        main(["--slots", "1", "many"])
    with pytest.raises(InputError, match="--arms: unknown 'none'; valid: ours, ours with tpe, OptunaSearch"):
        main(["--slots", "1", "4", "--arms", "none"])
