"""The copying of a search's files to object storage: at any time a search could resume with the files there."""

import threading

import pytest

from decouple_search.storage import lease as lease_module
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.lease import LEASE, StorageLease
from decouple_search.storage.mirror import Mirror
from decouplenet.errors import InputError, TrainingFailed

pytestmark = pytest.mark.usefixtures("short_seconds")


def test_a_search_that_lost_its_lease_copies_nothing_more(remote_folder, monkeypatch):
    interrupted = threading.Event()
    monkeypatch.setattr(lease_module._thread, "interrupt_main", interrupted.set)
    with StorageLease(remote_folder) as lease:
        mirror = Mirror(remote_folder, Checkpoints(remote_folder), lease).__enter__()
        remote_folder.write(LEASE, b"other 1")
        assert interrupted.wait(10)
        (remote_folder.local / "study.log").write_text("of this search")
        with pytest.raises(
            TrainingFailed, match=r"another search has taken over .*; the results of this search are in"
        ):
            mirror.__exit__(None, None, None)
    assert remote_folder.read("study.log") is None
    assert remote_folder.read(LEASE) == b"other 1"
    remote_folder.__exit__(None, None, None)
    assert (remote_folder.local / "study.log").read_text() == "of this search"


def test_files_are_copied_during_the_search_and_before_a_checkpoint_is_deleted(remote_folder, monkeypatch):
    checkpoints = Checkpoints(remote_folder)
    checkpoint = f"{checkpoints.root}/0000/checkpoint_000000"
    remote_folder.write("trials/0000/checkpoint_000000/metrics.json", b"{}")
    deleted, events = threading.Event(), []
    push, delete = remote_folder.push, checkpoints.delete
    monkeypatch.setattr(remote_folder, "push", lambda: (events.append("push"), push()))
    monkeypatch.setattr(checkpoints, "delete", lambda path: (events.append("delete"), delete(path), deleted.set()))
    with StorageLease(remote_folder) as lease, Mirror(remote_folder, checkpoints, lease) as mirror:
        (remote_folder.local / "study.log").write_text("first")
        remote_folder.write("trials/experiment_state.json", b"Tune's")
        remote_folder.write("trials/.validate_storage_marker", b"")
        assert list(checkpoints.all()) == ["0000"]
        mirror.delete(checkpoint)
        assert checkpoints.all() == {}  # at once, because it may be deleted at any moment
        assert deleted.wait(10)
        assert events[events.index("delete") - 1] == "push"
        assert remote_folder.read("study.log") == b"first"
        assert checkpoints.all() == {}
        (remote_folder.local / "study.log").write_text("first and second")
    assert remote_folder.read("study.log") == b"first and second"
    assert remote_folder.read("trials/experiment_state.json") is None
    assert remote_folder.read("trials/.validate_storage_marker") == b""


def test_a_failed_copy_is_tried_again_and_files_that_were_never_copied_stay(remote_folder, monkeypatch, capsys):
    failures, failed_again, push = [], threading.Event(), remote_folder.push

    def fail():
        failures.append("away")
        if len(failures) == 3:
            failed_again.set()
        raise InputError("--storage: away")

    (remote_folder.local / "study.log").write_text("first")
    monkeypatch.setattr(remote_folder, "push", fail)
    with StorageLease(remote_folder) as lease, Mirror(remote_folder, Checkpoints(remote_folder), lease):
        assert failed_again.wait(10)
        monkeypatch.setattr(remote_folder, "push", push)
    assert remote_folder.read("study.log") == b"first"
    assert capsys.readouterr().out.count("warning: --storage: away; trying until it works") == 1
    with (
        pytest.raises(TrainingFailed, match=r"--storage: away; the files that were not copied are in"),
        StorageLease(remote_folder) as lease,
        Mirror(remote_folder, Checkpoints(remote_folder), lease),
    ):
        monkeypatch.setattr(remote_folder, "push", fail)
    remote_folder.__exit__(None, None, None)
    assert (remote_folder.local / "study.log").read_text() == "first"
