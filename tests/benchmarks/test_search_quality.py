"""Tables of any origin are read, and what is no table is refused; a replay counts what is trained."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.search_quality import DEFAULT, ours, read_table, replay, stock
from decouplenet.errors import InputError

ROWS = list(csv.DictReader(DEFAULT.open()))


def table(folder, rows):
    file = folder / "table.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return read_table(file)


def test_the_recorded_table_is_of_the_demos_space():
    read = read_table(DEFAULT)
    assert read.curves.shape == (320, 9)
    assert {parameter.key: parameter.kind for parameter in read.space.parameters} == {
        "model.maps_per_class": "int", "model.upsampling": "choice", "model.attention": "choice",
        "model.k_pos": "float", "model.alpha": "float", "model.k_neg": "float", "optim.lr": "float",
    }  # fmt: skip
    logs = {parameter.key for parameter in read.space.parameters if parameter.log}
    assert logs == {"model.maps_per_class", "model.k_pos", "model.k_neg", "optim.lr"}
    assert "none" in read.space.parameters[1].values


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
def test_tables_of_other_makings(tmp_path, change, shape):
    read = table(tmp_path, [row for i, old in enumerate(ROWS) if (row := change(i, old)) is not None])
    assert read.curves.shape == shape
    assert [parameter.key for parameter in read.space.parameters] == [name for name in ROWS[0] if "." in name]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS[:45], "5 whole configurations of 9 epochs"),
        ([row | {"epoch": "x"} for row in ROWS], "table.csv:2: epoch and val_map must be numbers"),
        ([{"epoch": 1, "map": 0.5}], "needs a row an epoch"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, rows, said):
    with pytest.raises(InputError, match=said):
        table(tmp_path, rows)
    with pytest.raises(InputError, match="cannot be read"):
        read_table(Path("/never.csv"))


@pytest.mark.parametrize("arm", [ours, stock])
def test_a_replay_counts_the_epochs_of_all_trials(arm):
    read = read_table(DEFAULT)
    trained = []

    def curve(point):
        trained.append(point)
        return np.linspace(0.1, 0.2, 9) + 0.5 * (len(trained) == 5)  # the fifth is close to the best at once

    surrogate = SimpleNamespace(table=read, best=0.6, curve=curve)
    count = replay(arm(read, 0, 4), surrogate, 4, 500)
    assert len(trained) in range(5, 10)
    assert count in range(5, 5 * 9)
    trained.clear()
    surrogate.best = 9.0
    assert replay(arm(read, 0, 4), surrogate, 4, 60) == 60
