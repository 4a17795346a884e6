"""Fixtures: small photos, and folders in object storage."""

import numpy as np
import pytest
from PIL import Image
from pyarrow.fs import FileSystem, LocalFileSystem, copy_files

from decouplenet.config import DataConfig
from decouplenet.data.formats import load_splits
from decouplenet.data.reporter import Reporter


@pytest.fixture
def photo():
    """Write a small image to a path; its content depends on the seed."""

    def write(path, seed=0, size=(12, 10)):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def remote(s3, tmp_path):
    """Copy a folder to object storage. Returns a function from a file name to its address, with access keys."""
    base, _, query = s3.partition("?")
    system, path = FileSystem.from_uri(s3)

    def copy(folder):
        copy_files(str(folder), f"{path}/{tmp_path.name}", LocalFileSystem(), system)
        return lambda name: f"{base}/{tmp_path.name}/{name}?{query}"

    return copy


class Read:
    """The splits of a table, and what the reader says."""

    def __init__(self, file, **keys):
        self.faults, self.notes = [], []
        reporter = Reporter(self.faults.append, self.notes.append)
        config = DataConfig(**{"format": "table", "train_annotations": str(file), "holdout": 0.0} | keys)
        self.train, self.val, self.test = load_splits(config, reporter, test=True)

    @property
    def labels(self):
        """The labels of each training image by the stem of its path."""
        names = self.train.class_names
        return {
            path.stem: [names[c] for c in row.nonzero()[0]]
            for path, row in zip(self.train.paths, self.train.targets, strict=True)
        }

    def has_note(self, *parts):
        """Whether a note has all of these parts."""
        return any(all(part in note for part in parts) for note in self.notes)


@pytest.fixture
def read_csv(tmp_path, photo):
    """A function that reads a table of images `1.jpg` to `9.jpg`, given as text."""
    for i in range(1, 10):
        photo(tmp_path / f"{i}.jpg", i)

    def read(text, name="table.csv", **keys):
        file = tmp_path / name
        file.write_text(text)
        return Read(file, **keys)

    return read
