"""A folder of results on a disk and on S3 (a server of this process): both behave alike."""

import contextlib
from pathlib import Path

import pytest

from decouple_search.storage.local_folder import LocalFolder
from decouple_search.storage.opening import folder_at, open_checkpoint, open_folder
from decouple_search.storage.remote_folder import RemoteFolder
from decouplenet.checkpoint_files import CHECKPOINT_FILES
from decouplenet.errors import InputError


@pytest.fixture(params=["disk", "s3"])
def storage(request, tmp_path):
    """A storage of each kind."""
    return str(tmp_path) if request.param == "disk" else request.getfixturevalue("s3")


def test_a_path_is_on_a_disk_and_a_uri_in_object_storage(s3, tmp_path):
    assert type(open_folder(str(tmp_path), "x")) is LocalFolder
    assert type(open_folder(s3, "x")) is RemoteFolder
    assert type(folder_at(f"{tmp_path}/x")) is LocalFolder
    assert type(folder_at(s3)) is RemoteFolder


def test_ray_needs_a_file_system_only_for_object_storage_and_machines_share_only_a_disk(s3, tmp_path):
    on_disk, remote = open_folder(str(tmp_path), "x"), open_folder(s3, "x")
    assert on_disk.ray_filesystem is None
    assert remote.ray_filesystem is remote.opened[0]
    assert on_disk.shared_file("experiment.yaml") == str(tmp_path / "x" / "experiment.yaml")
    assert remote.shared_file("experiment.yaml") is None


def test_only_a_relative_path_leaves_open_on_which_disk_it_is(s3, tmp_path):
    assert open_folder("results", "x").relative
    assert not open_folder(str(tmp_path), "x").relative
    assert not open_folder("~/results", "x").relative
    assert not open_folder(s3, "x").relative


def test_files_that_one_folder_pushes_another_pulls(storage):
    name = "a name [1]"
    with open_folder(storage, name) as first:
        assert not first.exists()
        assert first.pull("config.yaml") is None
        (first.local / "tensorboard").mkdir(parents=True)
        (first.local / "config.yaml").write_text("old")
        (first.local / "tensorboard" / "events").write_bytes(b"1")
        first.push()
        (first.local / "config.yaml").write_text("new")
        first.push()
    with open_folder(storage, name) as second:
        assert second.exists()
        assert second.pull("config.yaml").read_text() == "new"
        assert second.pull("tensorboard/events").read_bytes() == b"1"
        assert second.pull("tensorboard") is None


def test_only_changed_files_are_pushed_and_the_local_copies_are_removed(s3, monkeypatch):
    with open_folder(s3, "changes") as folder:
        folder.local.mkdir()
        (folder.local / "a").write_text("1")
        (folder.local / "b").write_text("1")
        folder.push()
        written = []
        monkeypatch.setattr(folder, "write", lambda name, content: written.append(name))
        (folder.local / "b").write_text("22")
        (folder.local / ".b.partial").write_text("2")
        folder.push()
        assert written == ["b"]
        local = folder.local
    assert not local.exists()


def test_an_error_of_a_storage_names_it_without_its_keys_in_one_line(s3):
    with pytest.raises(InputError, match="--storage: 'nothing://bucket/x' cannot be used"):
        open_folder("nothing://bucket", "x").names()
    with open_folder(s3.replace("@bucket", "@no-such-bucket"), "x") as folder:
        folder.local.mkdir()
        (folder.local / "a").write_text("1")
        with pytest.raises(InputError, match="--storage: 's3://no-such-bucket/runs/x' cannot be used") as raised:
            folder.push()
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="cannot be used") as raised:
        open_folder("s3://user:secret@bucket/%?region=us-east-1", "x").names()
    assert "secret" not in str(raised.value)


def test_a_checkpoint_is_fetched_from_object_storage_and_removed(s3):
    with open_folder(s3, "x") as folder:
        (folder.local / "best_checkpoint").mkdir(parents=True)
        for name in CHECKPOINT_FILES:
            (folder.local / "best_checkpoint" / name).write_text(name)
        folder.push()
    base, _, query = s3.partition("?")
    with contextlib.ExitStack() as stack:
        name, local = open_checkpoint(f"{base}/x/best_checkpoint?{query}", stack)
        assert name == "s3://bucket/runs/x/best_checkpoint"
        assert sorted(file.read_text() for file in local.iterdir()) == sorted(CHECKPOINT_FILES)
    assert not local.exists()


def test_a_file_uri_is_a_folder_of_this_machine(tmp_path):
    with open_folder(f"file://{tmp_path}/new", "x") as folder:
        (folder.local / "a").mkdir(parents=True)
        (folder.local / "a" / "b").write_text("1")
        folder.push()
    assert (tmp_path / "new" / "x" / "a" / "b").read_text() == "1"


def test_in_a_job_a_relative_folder_is_below_home_and_not_in_the_copy_that_ray_deletes(monkeypatch, tmp_path):
    assert open_folder("results", "x").local == Path("results/x").resolve()
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_folder("results", "x").local == tmp_path / "results" / "x"
    assert open_folder("/data/results", "x").local == Path("/data/results/x")


def test_a_child_folder_and_a_folder_by_its_uri_are_the_same(s3):
    base, _, query = s3.partition("?")
    child = open_folder(s3, "a b").child("c")
    assert (child.shown, child.flags) == ("s3://bucket/runs/a%20b/c", "--storage s3://bucket/runs/a%20b --name c")
    child.write("file", b"1")
    assert folder_at(f"{base}/a%20b/c?{query}").read("file") == b"1"
    child.remove("file")
    child.remove("file")  # an absent file is no error
    assert child.read("file") is None


def test_in_a_job_a_path_to_read_is_looked_up_in_the_copy_and_then_below_home(monkeypatch, tmp_path):
    home, copy = tmp_path / "home", tmp_path / "copy"
    (home / "results" / "x").mkdir(parents=True)
    (copy / "other" / "x").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(copy)
    assert folder_at("results/x").local == copy / "results" / "x"
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert folder_at("results/x").local == home / "results" / "x"
    assert folder_at("other/x").local == copy / "other" / "x"
    with contextlib.ExitStack() as stack:
        assert open_checkpoint("results/x", stack) == ("results/x", home / "results" / "x")


def test_the_last_file_is_pushed_last_and_unfinished_files_are_not_pushed(s3, monkeypatch):
    with open_folder(s3, "order") as folder:
        (folder.local / ".best.partial").mkdir(parents=True)
        for name in ("experiment.yaml", "study.log", "z", ".best.partial/model.safetensors"):
            (folder.local / name).write_text(name)
        written = []
        monkeypatch.setattr(folder, "write", lambda name, content: written.append(name))
        folder.push(last="experiment.yaml")
    assert sorted(written[:-1]) == ["study.log", "z"]
    assert written[-1] == "experiment.yaml"
