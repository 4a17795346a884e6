"""A file that has its name only when it is whole: failing disks, killed machines."""

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


def test_it_is_whole_when_it_has_its_name(file):
    assert not is_complete(file, SHAPE)
    with new_file(file, SHAPE) as array:
        array[:] = 7
        assert not file.exists()
    assert is_complete(file, SHAPE)
    assert (np.fromfile(file, np.uint8) == 7).all()
    assert list(file.parent.iterdir()) == [file]


def test_its_content_is_on_the_disk_before_its_name(file, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append((file.exists(), Path(f"/dev/fd/{fd}").read_bytes())))
    fill(file)
    assert seen == [(False, b"\7" * 96)]


def test_nothing_is_left_of_one_that_fails(file):
    with pytest.raises(KeyboardInterrupt), new_file(file, SHAPE):
        raise KeyboardInterrupt
    assert not list(file.parent.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_space_that_cannot_be_had_is_said_before_it_is_filled(file, monkeypatch, number):
    monkeypatch.setattr(os, "posix_fallocate", failing(number))
    with pytest.raises(
        InputError, match=r"data.cache: decoded images need 0.0 GB, .* cannot store them .*; give another"
    ) as error:
        fill(file)
    assert os.strerror(number) in str(error.value)
    assert not list(file.parent.iterdir())


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, None])
def test_file_systems_that_cannot_reserve_are_taken_as_they_are(file, monkeypatch, number):
    if number:
        monkeypatch.setattr(os, "posix_fallocate", failing(number))
    else:
        monkeypatch.delattr(os, "posix_fallocate")
    fill(file)
    assert is_complete(file, SHAPE)


def test_what_was_left_of_an_earlier_one_takes_no_space(file, monkeypatch):
    partial = file.with_suffix(".partial")
    partial.write_bytes(b"left")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 0 if partial.exists() else 96}))
    fill(file)
    assert is_complete(file, SHAPE)
