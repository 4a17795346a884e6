"""Tar shards in WebDataset's form, read by the reader of tables."""

import gzip
import io
import json
import tarfile

import pytest

from decouplenet.data.places import read_bytes, shown
from decouplenet.data.tables import tar as tar_file
from decouplenet.errors import InputError
from tests.decouplenet.data.tables.loading import labels_of, load


def write(file, samples):
    """Write a shard: a mapping of suffixes to contents per sample."""
    with tarfile.open(file, "w") as archive:
        for key, members in samples.items():
            for suffix, content in members.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file


@pytest.fixture
def images(photo, tmp_path):
    return [photo(tmp_path / "photos" / f"{i}.jpg", i).read_bytes() for i in range(4)]


def test_labels_beside_the_images(tmp_path, images):
    names = {"0001": b"cat, dog", "0002": b"dog", "0003": b""}
    file = write(tmp_path / "t.tar", {k: {"jpg": images[i], "txt": v} for i, (k, v) in enumerate(names.items())})
    train = load(file)[0]
    assert labels_of(train) == [["cat", "dog"], ["dog"], []]
    assert [read_bytes(place) for place in train.paths] == images[:3]
    assert shown(train.paths[0]) == f"{file}: 0001.jpg"


def test_numbers_of_classes_and_json(tmp_path, images):
    file = write(tmp_path / "t.tar", {f"a/{i}": {"jpg": images[i], "cls": str(i).encode()} for i in range(3)})
    assert labels_of(load(file, classes=["x", "y", "z"])[0]) == [["x"], ["y"], ["z"]]
    content = [
        json.dumps({"labels": labels, "split": split}).encode()
        for labels, split in ((["cat"], "train"), (["cat", "dog"], "train"), (["dog"], "val"))
    ]
    file = write(tmp_path / "u.tar", {str(i): {"PNG": images[i], "json": content[i]} for i in range(3)})
    train, val, _, _ = load(file)
    assert (labels_of(train), labels_of(val)) == ([["cat"], ["cat", "dog"]], [["dog"]])


def test_many_shards_and_samples_without_an_image(tmp_path, images):
    (tmp_path / "shards").mkdir()
    write(tmp_path / "shards" / "train-0.tar", {"0": {"jpg": images[0], "txt": b"cat"}, "no": {"txt": b"dog"}})
    write(tmp_path / "shards" / "train-1.tar", {"0": {"jpg": images[1], "txt": b"dog"}})
    write(tmp_path / "shards" / "val-0.tar", {"0": {"jpg": images[2], "txt": b"cat"}})
    train, val, _, _ = load(tmp_path / "shards")
    assert (labels_of(train), labels_of(val)) == ([["cat"], ["dog"]], [["cat"]])


def test_shards_in_object_storage_are_read_in_blocks(tmp_path, images, remote, monkeypatch):
    monkeypatch.setattr(tar_file, "BLOCK", 1000)
    (tmp_path / "shards").mkdir()
    write(tmp_path / "shards" / "t.tar", {str(i): {"jpg": images[i], "txt": b"cat"} for i in range(4)})
    train = load(remote(tmp_path / "shards")("t.tar"))[0]
    assert [read_bytes(place) for place in train.paths] == images


@pytest.mark.parametrize("harm", [gzip.compress, lambda content: content[:700], lambda content: b"no tar" * 200])
def test_a_damaged_or_compressed_shard_is_refused(tmp_path, images, harm):
    file = write(tmp_path / "t.tar", {str(i): {"jpg": images[i], "txt": b"cat"} for i in range(3)})
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(InputError, match="no tar file without compression"):
        load(file)


def test_damaged_json_is_refused(tmp_path, images):
    file = write(tmp_path / "t.tar", {"0": {"jpg": images[0], "json": b"{"}})
    with pytest.raises(InputError, match=r"0\.json: no JSON"):
        load(file)
