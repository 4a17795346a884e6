"""A file that gets its name only when it is complete: failing disks, killed machines."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from decouplenet.data.whole_file import is_complete, new_file
from decouplenet.errors import InputError

SHAPE = (2, 4, 4, 3)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "pixels.u8"


def fill(file):
    with new_file(file, SHAPE) as array:
        array[:] = 7


def failing(number):
    def reserve(descriptor, start, length):
        raise OSError(number, os.strerror(number))

    return reserve


def test_a_file_with_its_name_is_complete(file):
    assert not is_complete(file, SHAPE)
    with new_file(file, SHAPE) as array:
        array[:] = 7
        assert not file.exists()
    assert is_complete(file, SHAPE)
    assert (np.fromfile(file, np.uint8) == 7).all()
    assert list(file.parent.iterdir()) == [file]


def test_the_content_is_on_the_disk_before_the_rename(file, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append((file.exists(), Path(f"/dev/fd/{fd}").read_bytes())))
    fill(file)
    assert seen == [(False, b"\7" * 96)]


def test_a_file_that_fails_leaves_nothing(file):
    with pytest.raises(KeyboardInterrupt), new_file(file, SHAPE):
        raise KeyboardInterrupt
    assert not list(file.parent.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_missing_space_is_reported_before_writing(file, monkeypatch, number):
    monkeypatch.setattr(os, "posix_fallocate", failing(number))
    with pytest.raises(
        InputError, match=r"data.cache: decoded images need 0.0 GB, .* cannot store them .*; give another"
    ) as error:
        fill(file)
    assert os.strerror(number) in str(error.value)
    assert not list(file.parent.iterdir())


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_file_systems_that_cannot_reserve_space_are_accepted(file, monkeypatch, number):
    if number:
        monkeypatch.setattr(os, "posix_fallocate", failing(number))
    else:
        monkeypatch.delattr(os, "posix_fallocate")
    fill(file)
    assert is_complete(file, SHAPE)


def test_leftover_files_are_removed_before_space_is_checked(file, monkeypatch):
    partial = file.with_suffix(".partial")
    partial.write_bytes(b"left")
    left = lambda: partial.exists() and partial.stat().st_size  # noqa: E731
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 0 if left() else 96}))
    fill(file)
    assert is_complete(file, SHAPE)
