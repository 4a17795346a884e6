"""The lease on a folder of object storage: one search has it, and a killed search loses it."""

import threading

import pytest

from decouple_search.storage import lease as lease_module
from decouple_search.storage.lease import LEASE, StorageLease
from decouple_search.storage.opening import open_folder
from decouplenet.errors import InputError

pytestmark = pytest.mark.usefixtures("short_seconds")


def test_a_second_search_is_refused_until_the_first_has_ended(remote_folder, s3):
    same_folder = open_folder(s3, remote_folder.name)
    with (
        StorageLease(remote_folder),
        pytest.raises(InputError, match="another search is writing in 's3://bucket/runs/"),
    ):
        StorageLease(same_folder).__enter__()
    assert LEASE not in remote_folder.names()
    with StorageLease(same_folder) as lease:
        assert not lease.lost


def test_of_two_searches_that_start_at_the_same_time_the_last_to_write_gets_the_lease(remote_folder, monkeypatch):
    write = remote_folder.write

    def overtaken(name, content):
        write(name, content)
        write(name, b"other 1")

    monkeypatch.setattr(remote_folder, "write", overtaken)
    with pytest.raises(InputError, match="another search is writing in 's3://bucket/runs/"):
        StorageLease(remote_folder).__enter__()


def test_the_lease_of_a_killed_search_is_taken_after_a_silence(remote_folder, capsys):
    remote_folder.write(LEASE, b"killed 7")
    with StorageLease(remote_folder):
        assert remote_folder.read(LEASE) != b"killed 7"
    assert "waiting    up to 0.5 s to see whether another search still writes in" in capsys.readouterr().out


@pytest.mark.parametrize("other", [b"other 1", b"other 1\xf9\x00"], ids=["text", "no text"])
def test_a_search_that_loses_its_lease_is_interrupted_and_leaves_the_new_lease(remote_folder, monkeypatch, other):
    interrupted = threading.Event()
    monkeypatch.setattr(lease_module._thread, "interrupt_main", interrupted.set)
    with StorageLease(remote_folder) as lease:
        remote_folder.write(LEASE, other)
        assert interrupted.wait(10)
        assert lease.lost
    assert remote_folder.read(LEASE) == other


def test_a_renewal_that_fails_is_tried_again(remote_folder, monkeypatch):
    failed, read = threading.Event(), remote_folder.read

    def fail(name):
        failed.set()
        raise InputError("--storage: away")

    with StorageLease(remote_folder) as lease:
        monkeypatch.setattr(remote_folder, "read", fail)
        assert failed.wait(10)
        monkeypatch.setattr(remote_folder, "read", read)
        before = remote_folder.read(LEASE)
        renewed = threading.Event()
        write = remote_folder.write
        monkeypatch.setattr(remote_folder, "write", lambda *arguments: (write(*arguments), renewed.set()))
        assert renewed.wait(10)
        assert remote_folder.read(LEASE) != before
        assert not lease.lost
