"""Tables of several forms are read, and other files are refused."""

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.search_quality.csv_table import read_table
from benchmarks.search_quality.tables import RECORDED
from decouple_search.space.objective import Objective
from decouplenet.errors import InputError

ROWS = [row for row in csv.DictReader(RECORDED.open()) if row["seed"] == "0"]


def write_and_read(folder, rows):
    """The table of some rows, written as a file and read again."""
    file = folder / "table.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return read_table(file)


def test_the_recorded_table_is_of_the_demos_space():
    table = read_table(RECORDED)
    assert table.curves.shape == table.seconds.shape == (320, 9)
    assert 0.01 < table.noise < 0.05
    assert 0.01 < table.training_noise < 0.05
    assert table.space.objectives == (Objective("val_map", "max"),)
    assert {parameter.key: parameter.kind for parameter in table.space.parameters} == {
        "model.maps_per_class": "int", "model.upsampling": "choice", "model.attention": "choice",
        "model.k_pos": "float", "model.alpha": "float", "model.k_neg": "float", "optim.lr": "float",
    }  # fmt: skip
    logs = {parameter.key for parameter in table.space.parameters if parameter.log}
    assert logs == {"model.maps_per_class", "model.k_pos", "model.k_neg", "optim.lr"}
    assert "none" in table.space.parameters[1].values
    last = [row for row in ROWS if row["optim.lr"] == ROWS[-1]["optim.lr"]]  # without repeats
    assert table.curves[-1].tolist() == [float(row["val_map"]) for row in last]
    assert table.seconds[-1].tolist() == [float(row["seconds"]) for row in last]


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


def test_repeats_are_averaged_and_their_spread_is_the_noise(tmp_path):
    rows = [
        {"x": x, "seed": seed, "epoch": epoch, "val_map": x + epoch + shift, "seconds": 3 + seed}
        for x in np.linspace(0, 1, 12)
        for seed, shift in enumerate((-0.1, 0.1) if x < 0.5 else (0.0,))
        for epoch in (1, 2)
    ]
    table = write_and_read(tmp_path, rows)
    assert table.curves == pytest.approx(np.linspace(0, 1, 12)[:, None] + [1, 2])
    assert table.seconds[0].tolist() == [3.5, 3.5]
    assert table.seconds[-1].tolist() == [3, 3]
    assert (table.noise, table.training_noise) == pytest.approx((0, 0.1 * 2**0.5))


def test_noise_of_trainings_and_of_epochs_is_told_apart(tmp_path):
    rng, rows = np.random.default_rng(0), []
    for x in np.linspace(0, 1, 200):
        for seed in range(3):
            common = 0.05 * rng.standard_normal()
            values = x + common + 0.02 * rng.standard_normal(6)
            rows += [{"x": x, "seed": seed, "epoch": e, "val_map": v, "seconds": 1} for e, v in enumerate(values, 1)]
    table = write_and_read(tmp_path, rows)
    assert table.noise == pytest.approx(0.02, rel=0.05)
    assert table.training_noise == pytest.approx(0.05, rel=0.1)


def test_missing_seconds_are_the_mean_of_the_trainings_others_or_one(tmp_path):
    rows = [
        {"x": x / 12, "epoch": epoch, "val_map": 0.5, "seconds": "" if x == 0 or epoch == 1 else epoch}
        for x in range(12)
        for epoch in (1, 2, 3)
    ]
    table = write_and_read(tmp_path, rows)
    assert table.seconds[0].tolist() == [1, 1, 1]
    assert table.seconds[1].tolist() == [2.5, 2, 3]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:45], "5 whole configurations of 9 epochs"),
        ([row | {"epoch": "x"} for row in ROWS], "table.csv:2: epoch, val_map and seconds must be numbers"),
        ([{"epoch": 1, "map": 0.5}], "needs one row per epoch"),
    ],
)
def test_other_files_are_refused(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        write_and_read(tmp_path, rows)
    with pytest.raises(InputError, match="cannot be read"):
        read_table(Path("/never.csv"))
