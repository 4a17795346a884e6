"""The splits of a table's rows: usual words, flags, and data.splits; no row vanishes without a word."""

import pytest

from decouplenet.errors import InputError


def table(column, *cells):
    return f"path,labels,{column}\n" + "".join(f"{i}.jpg,cat,{cell}\n" for i, cell in enumerate(cells, start=1))


@pytest.mark.parametrize("word", ["val", "valid", "validation", "dev", "eval", "Validation"])
@pytest.mark.parametrize("column", ["split", "subset", "Set", "partition"])
def test_usual_words(read_csv, column, word):
    read = read_csv(table(column, "training", "train", word, "testing"))
    assert (len(read.train), len(read.val), len(read.test)) == (2, 1, 1)
    assert read.has_note("test: 1 row is kept for evaluate --split test")


@pytest.mark.parametrize(
    ("column", "cells", "sizes"),
    [
        ("is_valid", ("False", "False", "True"), (2, 1)),
        ("is_val", ("0", "1", "0"), (2, 1)),
        ("is_train", ("1", "1", "0"), (2, 1)),
    ],
)
def test_a_column_of_flags(read_csv, column, cells, sizes):
    read = read_csv(table(column, *cells))
    assert (len(read.train), len(read.val)) == sizes


@pytest.mark.parametrize(
    ("column", "cells", "listed"),
    [
        ("fold", ("0", "1", "1"), r"0 \(1 row\), 1 \(2 rows\)"),
        ("split", ("train", "train", "", "val"), r"empty \(1 row\), train \(2 rows\), val \(1 row\)"),
        ("split", ("train", "extra", "train"), r"extra \(1 row\), train \(2 rows\)"),
        ("is_valid", ("True", "maybe", "False"), r"maybe \(1 row\)"),
    ],
)
def test_other_values_are_refused_with_their_counts(read_csv, column, cells, listed):
    with pytest.raises(InputError, match=f"'{column}' has values that are no usual names of splits: .*{listed}"):
        read_csv(table(column, *cells))


def test_any_values_can_be_mapped(read_csv):
    text = table("fold", "0", "1", "2.0", "3", "4")
    read = read_csv(text, splits={"train": [0, 1, "2"], "val": [3]})
    assert [path.name for path in read.val.paths] == ["4.jpg"]
    assert len(read.train) == 3
    assert read.has_note("data.splits leaves out rows with fold 4 (1 row)")
    assert len(read_csv(text, splits={"train": [0, 1], "val": 2, "test": [3, 4]}).test) == 2
    empty = read_csv(table("split", "train", "train", "", "val"), splits={"train": ["train", ""], "val": ["val"]})
    assert len(empty.train) == 3


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": [0], "valid": [1]}, "unknown split 'valid'; valid: train, val, test"),
        ({"train": [0, 1], "val": [1]}, "1 is in train and in val"),
        ({"train": [0, 1], "val": [7]}, "no row of .* has fold 7; it has 0, 1"),
        ({"val": [0, 1]}, r"has no row with fold train; the column has val \(2\)"),
    ],
)
def test_a_wrong_mapping_is_refused(read_csv, splits, message):
    with pytest.raises(InputError, match=message):
        read_csv(table("fold", "0", "1"), splits=splits)


def test_a_mapping_need_not_fit_a_table_for_validation(read_csv, tmp_path):
    (tmp_path / "val.csv").write_text("path,labels\n4.jpg,cat\n5.jpg,cat\n")
    (tmp_path / "test.csv").write_text("path,labels,fold\n6.jpg,cat,9\n7.jpg,cat,0\n")
    others = {f"{split}_annotations": str(tmp_path / f"{split}.csv") for split in ("val", "test")}
    splits = {"train": [0, 1], "test": [9]}
    text = table("fold", "0", "1", "9")
    read = read_csv(text, splits=splits, **others)
    assert [len(images) for images in (read.train, read.val, read.test)] == [2, 2, 1]


def test_a_mapping_needs_a_column(read_csv):
    with pytest.raises(InputError, match=r"data.splits: .* has no column of splits"):
        read_csv("path,labels\n1.jpg,cat\n2.jpg,cat\n", splits={"train": [0]})


def test_the_column_can_be_another_or_none(read_csv):
    text = "path,labels,fold,part\n1.jpg,cat,0,train\n2.jpg,cat,1,train\n3.jpg,cat,1,val\n"
    assert len(read_csv(text, split_column="part").val) == 1
    assert len(read_csv(text, split_column="none").train) == 3


def test_test_rows_replace_missing_val_rows_only_where_the_table_is_named_for_val(read_csv, tmp_path):
    text = table("split", "train", "train", "test")
    read = read_csv(text, val_annotations=str(tmp_path / "table.csv"))
    assert len(read.val) == 1
    assert read.has_note("the rows of test are used for validation")
    assert len(read_csv(text).val) == 0
