"""`data check --fix`: a clean table that is read back as it was understood."""

import csv
import json

import numpy as np
import pytest

from decouplenet.config import DataConfig
from decouplenet.data.__main__ import main
from decouplenet.data.formats import load_splits
from decouplenet.errors import InputError


def fix(tmp_path, capsys, *flags):
    """Run the check, and return the written table, its rows and the exit code."""
    out = tmp_path / "out" / "clean.csv"
    out.parent.mkdir(exist_ok=True)
    code = main(["check", "--data.image_size", "8", "--fix", str(out), *flags])
    with out.open() as stream:
        return out, list(csv.DictReader(stream)), code, capsys.readouterr()


def read_back(out, **keys):
    classes = str(out.with_suffix(".classes.json"))
    config = DataConfig(format="table", train_annotations=str(out), classes=classes, label_separator="|", **keys)
    return load_splits(config, test=True)


def test_what_was_understood_is_written_and_read_back(tmp_path, photo, capsys):
    for i in range(1, 7):
        photo(tmp_path / "img" / f"{i}.jpg", i)
    rows = ["1,1,0,1", "2,0,1,-1", "3,1,0,0", "4,0,1,0", "5,1,-1,0", "6,0,1,0"]
    splits = ["training", "train", "train", "dev", "dev", "testing"]
    lines = [
        f"img/{row.partition(',')[0]}.jpg,9,{row.partition(',')[2]},{s}" for row, s in zip(rows, splits, strict=True)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["path,age,zebra,red cat,dog,set", *lines]))
    flags = ("--data.format", "table", "--data.train_annotations", str(tmp_path / "t.csv"))
    keys = ("--data.label_columns", "[zebra, red cat, dog]")
    out, written, code, captured = fix(tmp_path, capsys, *flags, *keys)
    assert code == 0
    assert f"wrote 6 images to {out}; read it with --data.format table --data.train_annotations {out}" in captured.err
    assert [row["split"] for row in written] == ["train", "train", "train", "val", "val", "test"]
    assert written[0] == {
        "path": str(tmp_path / "img" / "1.jpg"),
        "labels": "zebra|dog",
        "split": "train",
        "unknown_labels": "",
    }
    assert written[1]["unknown_labels"] == "dog"
    config = DataConfig(format="table", train_annotations=str(tmp_path / "t.csv"))
    config.label_columns = ["zebra", "red cat", "dog"]
    for before, after in zip(load_splits(config, test=True), read_back(out), strict=True):
        assert before.paths == after.paths
        assert before.class_names == after.class_names
        assert np.array_equal(before.targets, after.targets)
        ignored = [np.zeros(s.targets.shape, bool) if s.ignored is None else s.ignored for s in (before, after)]
        assert np.array_equal(*ignored)


def test_images_that_cannot_be_used_are_left_out(tmp_path, photo, capsys):
    for i in range(1, 5):
        photo(tmp_path / f"{i}.jpg", i)
    (tmp_path / "3.jpg").write_bytes(b"no photo")
    rows = "".join(f"{i}.jpg,cat\n" for i in range(1, 6))
    (tmp_path / "t.csv").write_text(f"path,labels\n{rows}")
    flags = ("--data.format", "table", "--data.train_annotations", str(tmp_path / "t.csv"), "--data.holdout", "0.25")
    _, written, code, captured = fix(tmp_path, capsys, *flags)
    assert code == 1
    assert sorted(row["path"].rpartition("/")[2] for row in written) == ["1.jpg", "2.jpg", "4.jpg"]
    assert "3.jpg: cannot be decoded" in captured.out
    assert "5.jpg" in captured.out


def test_a_name_with_the_usual_sign_gets_another_between_labels(tmp_path, photo, capsys):
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(2)],
        "annotations": [{"image_id": i, "category_id": c} for i in range(2) for c in (1, 2)],
        "categories": [{"id": 1, "name": "a|b"}, {"id": 2, "name": "c"}],
    }
    for i in range(2):
        photo(tmp_path / f"{i}.jpg", i)
    (tmp_path / "t.json").write_text(json.dumps(content))
    places = ("--data.train_annotations", str(tmp_path / "t.json"), "--data.train_images", str(tmp_path))
    _, written, _, captured = fix(tmp_path, capsys, "--data.format", "coco", *places, "--data.holdout", "0")
    assert [row["labels"] for row in written] == ["a|b;c"] * 2
    assert "--data.label_separator ';'" in captured.err


def test_a_file_that_cannot_be_written_is_named(tmp_path, photo):
    photo(tmp_path / "1.jpg")
    photo(tmp_path / "2.jpg", 1)
    (tmp_path / "t.csv").write_text("path,labels\n1.jpg,cat\n2.jpg,cat\n")
    flags = ["check", "--data.format", "table", "--data.train_annotations", str(tmp_path / "t.csv")]
    with pytest.raises(InputError, match="--fix: cannot write"):
        main([*flags, "--data.holdout", "0", "--fix", str(tmp_path / "none" / "out.csv")])
