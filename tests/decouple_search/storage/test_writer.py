"""The right to write in a folder: one search at a time, on a disk and in object storage."""

import errno
import subprocess
import sys

import pytest

from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.lease import LEASE
from decouple_search.storage.local_folder import LocalFolder
from decouple_search.storage.opening import open_folder
from decouple_search.storage.writer import exclusive_lock, exclusive_writer
from decouplenet.errors import InputError

LOCK = """
from pathlib import Path
from decouple_search.storage.writer import exclusive_lock
with exclusive_lock(Path({folder!r})):
    print("locked")
    input()
"""


def lock_in_another_process(folder):
    """Start a process that locks a folder, and keeps the lock until it reads a line."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", LOCK.format(folder=str(folder))], **pipes)


def test_two_searches_cannot_lock_one_folder(tmp_path):
    with exclusive_lock(tmp_path):
        output, errors = lock_in_another_process(tmp_path).communicate("\n", timeout=60)
        assert "another search is writing in" in errors
        assert "locked" not in output
    output, errors = lock_in_another_process(tmp_path).communicate("\n", timeout=60)
    assert (output, errors) == ("locked\n", "")


def test_the_lock_of_a_killed_search_ends_with_it(tmp_path):
    with lock_in_another_process(tmp_path) as other:
        assert other.stdout.readline() == "locked\n"
        with (
            pytest.raises(InputError, match=r"--name: another search is writing in '.*'; wait for it, or stop it"),
            exclusive_lock(tmp_path),
        ):
            pass
        other.kill()
    with exclusive_lock(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_disk_without_locks_is_refused(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(InputError, match=r"--storage: '.*' cannot be locked \(Function not implemented\)"),
        exclusive_lock(tmp_path),
    ):
        pass


def test_a_folder_of_a_disk_is_made_and_has_one_writer(tmp_path):
    folder = open_folder(str(tmp_path), "new/x")
    with exclusive_writer(folder):
        assert folder.local.is_dir()
        with pytest.raises(InputError, match="another search is writing in"), exclusive_writer(folder):
            pass
    with exclusive_writer(folder):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"--storage: cannot make '.*/file/x' \(Not a directory\); give another folder"),
        exclusive_writer(LocalFolder(str(tmp_path / "file"), "x")),
    ):
        pass


def test_on_a_disk_a_checkpoint_is_deleted_at_once(tmp_path):
    folder = open_folder(str(tmp_path), "x")
    checkpoint = folder.local / "trials" / "0000" / "checkpoint_000000"
    checkpoint.mkdir(parents=True)
    checkpoints = Checkpoints(folder)
    with exclusive_writer(folder) as writer, writer.copying(checkpoints) as delete:
        delete(str(checkpoint))
        assert not checkpoint.exists()


@pytest.mark.usefixtures("short_seconds")
def test_in_object_storage_a_writer_has_a_lease_and_copies_the_files(remote_folder):
    checkpoints = Checkpoints(remote_folder)
    remote_folder.write("trials/0000/checkpoint_000000/metrics.json", b"{}")
    with exclusive_writer(remote_folder) as writer:
        assert LEASE in remote_folder.names()
        with pytest.raises(InputError, match="another search is writing in"), exclusive_writer(remote_folder):
            pass
        with writer.copying(checkpoints) as delete:
            (remote_folder.local / "study.log").write_text("first")
            delete(f"{checkpoints.root}/0000/checkpoint_000000")
        assert remote_folder.read("study.log") == b"first"
        assert remote_folder.read("trials/0000/checkpoint_000000/metrics.json") is None
    assert LEASE not in remote_folder.names()
