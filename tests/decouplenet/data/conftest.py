"""Fixtures: small photos, and folders in object storage."""

import numpy as np
import pytest
from PIL import Image
from pyarrow.fs import FileSystem, LocalFileSystem, copy_files


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
