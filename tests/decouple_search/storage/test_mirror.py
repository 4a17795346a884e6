"""A search's files in object storage: always such that a search could go on with them, and one search's alone."""

import threading

import pytest

from decouple_search.storage import mirror
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.folder import Folder
from decouple_search.storage.mirror import LEASE, Lease, Mirror
from decouplenet.errors import InputError, TrainingFailed


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Turns of a hundredth of their length."""
    monkeypatch.setattr(mirror, "TURN", 0.05)
    monkeypatch.setattr(mirror, "SILENCE", 0.5)


@pytest.fixture
def folder(s3, request):
    with Folder(s3, request.node.name) as folder:
        folder.local.mkdir(parents=True)
        yield folder


def test_one_search_writes_in_a_folder_and_the_next_when_it_has_ended(folder, s3):
    other = Folder(s3, folder.name)
    with Lease(folder), pytest.raises(InputError, match="another search is writing in 's3://bucket/runs/"):
        Lease(other).__enter__()
    assert LEASE not in folder.names()
    with Lease(other) as lease:
        assert not lease.lost


def test_a_lease_that_a_killed_search_left_is_taken_after_a_while(folder, capsys):
    folder.write(LEASE, b"killed 7")
    with Lease(folder):
        assert folder.read(LEASE) != b"killed 7"
    assert "waiting    up to 0.5 s for the search that wrote in" in capsys.readouterr().out


def test_a_search_whose_folder_was_taken_is_interrupted_and_writes_no_more(folder, monkeypatch):
    told = threading.Event()
    monkeypatch.setattr(mirror._thread, "interrupt_main", told.set)
    with Lease(folder) as lease:
        copying = Mirror(folder, Checkpoints(folder), lease).__enter__()
        folder.write(LEASE, b"another 1")
        assert told.wait(10)
        (folder.local / "study.log").write_text("mine")
        with pytest.raises(TrainingFailed, match=r"another search has taken .* over; what this one found is in"):
            copying.__exit__(None, None, None)
    assert folder.read("study.log") is None
    assert folder.read(LEASE) == b"another 1"


def test_files_come_while_a_search_runs_and_before_a_checkpoint_goes(folder, monkeypatch):
    checkpoints = Checkpoints(folder)
    place = f"{checkpoints.root}/0000/checkpoint_000000"
    folder.write("trials/0000/checkpoint_000000/metrics.json", b"{}")
    turned, events = threading.Event(), []
    push, delete = folder.push, checkpoints.delete
    monkeypatch.setattr(folder, "push", lambda: (events.append("push"), push()))
    monkeypatch.setattr(checkpoints, "delete", lambda one: (events.append("delete"), delete(one), turned.set()))
    with Lease(folder) as lease, Mirror(folder, checkpoints, lease) as copying:
        (folder.local / "study.log").write_text("one")
        folder.write("trials/experiment_state.json", b"Tune's")
        folder.write("trials/.validate_storage_marker", b"")
        assert list(checkpoints.all()) == ["0000"]
        copying.delete(place)
        assert checkpoints.all() == {}  # at once, as it may go at any moment
        assert turned.wait(10)
        assert events[events.index("delete") - 1] == "push"
        assert folder.read("study.log") == b"one"
        assert checkpoints.all() == {}
        (folder.local / "study.log").write_text("one and two")
    assert folder.read("study.log") == b"one and two"
    assert folder.read("trials/experiment_state.json") is None
    assert folder.read("trials/.validate_storage_marker") == b""


def test_storage_that_fails_for_a_while_is_tried_again_and_what_never_came_stays_here(folder, monkeypatch, capsys):
    failed, push = threading.Event(), folder.push

    def failing():
        failed.set()
        raise InputError("--storage: away")

    (folder.local / "study.log").write_text("one")
    monkeypatch.setattr(folder, "push", failing)
    with Lease(folder) as lease, Mirror(folder, Checkpoints(folder), lease):
        assert failed.wait(10)
        monkeypatch.setattr(folder, "push", push)
    assert folder.read("study.log") == b"one"
    assert capsys.readouterr().out.count("warning: --storage: away; trying again") == 1
    with (
        pytest.raises(TrainingFailed, match=r"--storage: away; what is not there is in"),
        Lease(folder) as lease,
        Mirror(folder, Checkpoints(folder), lease),
    ):
        monkeypatch.setattr(folder, "push", failing)
    folder.__exit__(None, None, None)
    assert (folder.local / "study.log").read_text() == "one"
