"""Parquet tables with the images inside, as Hugging Face's datasets are stored: one file or many, here or elsewhere."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from decouplenet.config import DataConfig
from decouplenet.data.opened import open_data
from decouplenet.data.places import read_bytes, shown
from decouplenet.data.tables import parquet as parquet_file
from decouplenet.errors import InputError
from tests.decouplenet.data.tables.loading import labels_of, load

NAMES = ["cat", "dog", "cow"]
FEATURE = {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "Sequence"}


def content_of(seed):
    """A PNG of 9×7 pixels."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write(file, seeds, labels=None, *, features=None, plain=False, row_group_size=2):
    """Write a table with an image per seed."""
    images = [content_of(seed) if plain else {"bytes": content_of(seed), "path": f"{seed}.png"} for seed in seeds]
    labels = [[seed % 3] for seed in seeds] if labels is None else labels
    table = pa.table({"image": images, "labels": labels, "id": list(map(str, seeds))})
    if features:
        metadata = {
            "huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, "labels": features}}})
        }
        table = table.replace_schema_metadata(metadata)
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=row_group_size)
    return file


@pytest.mark.parametrize(
    "features",
    [FEATURE, {"_type": "List", **FEATURE}, [FEATURE["feature"]], {"_type": "LargeList", "feature": FEATURE}],
)
def test_the_names_of_the_classes_are_in_the_metadata(tmp_path, features):
    file = write(tmp_path / "t.parquet", range(4), [[0, 2], [1], [], [0]], features=features)
    train, _, _, notes = load(file)
    assert train.class_names == ("cat", "dog", "cow")
    assert labels_of(train) == [["cat", "cow"], ["dog"], [], ["cat"]]
    assert any("labels are numbers of classes, counted from 0" in note for note in notes)
    assert [read_bytes(place) for place in train.paths] == [content_of(seed) for seed in range(4)]
    assert shown(train.paths[1]) == f"{file}: 1.png"


def test_a_single_label_and_given_classes(tmp_path):
    file = write(tmp_path / "t.parquet", range(3), [2, 0, 1], features=FEATURE["feature"])
    assert labels_of(load(file)[0]) == [["cow"], ["cat"], ["dog"]]
    file = write(tmp_path / "u.parquet", range(3), [[2], [0, 1], [1]])
    assert labels_of(load(file, classes=["a", "b", "c"])[0]) == [["c"], ["a", "b"], ["b"]]
    assert load(file)[0].class_names == ("0", "1", "2")


def test_plain_bytes_are_images_too(tmp_path):
    file = write(tmp_path / "t.parquet", range(3), plain=True)
    train = load(file, classes=NAMES)[0]
    assert [read_bytes(place) for place in train.paths] == [content_of(seed) for seed in range(3)]
    assert [place.name for place in train.paths] == ["row 1", "row 2", "row 3"]


def test_an_image_that_is_not_inside_is_at_its_path(tmp_path):
    (tmp_path / "5.png").write_bytes(content_of(5))
    images = [{"bytes": None, "path": "5.png"}, {"bytes": None, "path": "5.png"}]
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"image": pa.array(images[:1], image), "labels": [["cat"]]})
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "val.csv").write_text("path,labels\n5.png,cat\n")
    with pytest.raises(InputError, match="1 training images are left"):
        load(tmp_path / "t.parquet")
    pq.write_table(
        pa.concat_tables(
            [table, pa.table({"image": pa.array([{"bytes": content_of(1), "path": None}], image), "labels": [["dog"]]})]
        ),
        tmp_path / "t.parquet",
        row_group_size=1,
    )
    train = load(tmp_path / "t.parquet")[0]
    assert [read_bytes(place) for place in train.paths] == [content_of(5), content_of(1)]


def test_the_files_of_a_folder_are_splits_by_their_names(tmp_path):
    write(tmp_path / "data" / "train-00000-of-00002.parquet", [0, 1], features=FEATURE)
    write(tmp_path / "data" / "train-00001-of-00002.parquet", [2, 3, 4], features=FEATURE)
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", [5, 6], features=FEATURE)
    write(tmp_path / "data" / "test-00000-of-00001.parquet", [7], features=FEATURE)
    train, val, test, _ = load(tmp_path / "data")
    sizes = [[read_bytes(place) for place in images.paths] for images in (train, val, test)]
    assert sizes == [[content_of(seed) for seed in seeds] for seeds in ([0, 1, 2, 3, 4], [5, 6], [7])]
    pattern = str(tmp_path / "data" / "train-*.parquet")
    train, val, _, _ = load(pattern, val_annotations=str(tmp_path / "data" / "test-*.parquet"))
    assert (len(train), len(val)) == (5, 1)


def test_files_with_other_columns_are_refused(tmp_path):
    write(tmp_path / "a.parquet", [0, 1])
    pq.write_table(pa.table({"image": ["1.png"]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet' has no column 'labels', which other files have"):
        load(tmp_path)
    with pytest.raises(InputError, match="has no parquet or tar file"):
        load(str(tmp_path / "none-*.parquet"))


def test_a_damaged_file_is_an_input_error(tmp_path):
    file = write(tmp_path / "t.parquet", range(4))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot be read"):
        load(file)


def test_a_row_group_is_read_once(tmp_path, monkeypatch):
    opened = []
    real = parquet_file.open_seekable
    monkeypatch.setattr(parquet_file, "open_seekable", lambda file: opened.append(file) or real(file))
    train = load(write(tmp_path / "t.parquet", range(6), row_group_size=3), classes=NAMES)[0]
    assert len(opened) == 1  # for the labels
    for place in train.paths:
        read_bytes(place)
    assert len(opened) == 3


def test_images_inside_are_decoded_into_the_cache(tmp_path, remote):
    (tmp_path / "set").mkdir()
    file = write(tmp_path / "set" / "t.parquet", range(6), features=FEATURE)
    keys = {"format": "table", "image_size": 8, "cache": str(tmp_path / "cache"), "holdout": 0.34}
    here = open_data(DataConfig(train_annotations=str(file), **keys))
    uncached = open_data(DataConfig(train_annotations=str(file), **keys | {"cache": "none"}))
    address = remote(tmp_path / "set")("t.parquet")
    there = open_data(DataConfig(train_annotations=address, **keys))
    indices = np.arange(len(here.train))
    assert len(indices) == 3  # each of the three classes has an image on each side
    for data in (uncached, there):
        assert np.array_equal(data.train_pixels[indices], here.train_pixels[indices])
    assert len(list((tmp_path / "cache").glob("*.u8"))) == 4
    assert "secret" not in shown(there.train.paths[0])
