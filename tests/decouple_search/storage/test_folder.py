"""The same folder of results on this machine and on S3 (a server of this process)."""

import contextlib
from pathlib import Path

import pytest

from decouple_search.storage.folder import CHECKPOINT_FILES, Folder, folder_at, open_checkpoint
from decouplenet.errors import InputError


@pytest.fixture(params=["here", "s3"])
def storage(request, tmp_path):
    """A storage of each kind."""
    return str(tmp_path) if request.param == "here" else request.getfixturevalue("s3")


def test_what_one_pushes_another_pulls(storage, tmp_path):
    name = "a name [1]"
    with Folder(storage, name) as first:
        assert not first.exists()
        assert first.pull("config.yaml") is None
        (first.local / "tensorboard").mkdir(parents=True)
        (first.local / "config.yaml").write_text("one")
        (first.local / "tensorboard" / "events").write_bytes(b"1")
        first.push()
        (first.local / "config.yaml").write_text("another")
        first.push()
    with Folder(storage, name) as second:
        assert second.exists()
        assert second.pull("config.yaml").read_text() == "another"
        assert second.pull("tensorboard/events").read_bytes() == b"1"
        assert second.pull("tensorboard") is None


def test_only_what_changed_is_pushed(s3, monkeypatch):
    with Folder(s3, "changes") as folder:
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


def test_a_storage_that_cannot_be_used_is_named_without_its_keys(s3):
    with pytest.raises(InputError, match="--storage: 'nothing://bucket/x' cannot be used"):
        Folder("nothing://bucket", "x").names()
    with Folder(s3.replace("@bucket", "@no-such-bucket"), "x") as folder:
        folder.local.mkdir()
        (folder.local / "a").write_text("1")
        with pytest.raises(InputError, match="--storage: 's3://no-such-bucket/runs/x' cannot be used") as raised:
            folder.push()
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="cannot be used") as raised:
        Folder("s3://user:secret@bucket/%?region=us-east-1", "x").names()
    assert "secret" not in str(raised.value)


def test_a_checkpoint_is_fetched_from_object_storage_and_removed(s3):
    with Folder(s3, "x") as folder:
        (folder.local / "best_checkpoint").mkdir(parents=True)
        for name in CHECKPOINT_FILES:
            (folder.local / "best_checkpoint" / name).write_text(name)
        folder.push()
    base, _, query = s3.partition("?")
    with contextlib.ExitStack() as stack:
        name, here = open_checkpoint(f"{base}/x/best_checkpoint?{query}", stack)
        assert name == "s3://bucket/runs/x/best_checkpoint"
        assert sorted(file.read_text() for file in here.iterdir()) == sorted(CHECKPOINT_FILES)
    assert not here.exists()


def test_a_uri_of_a_folder_here(tmp_path):
    with Folder(f"file://{tmp_path}/new", "x") as folder:
        (folder.local / "a").mkdir(parents=True)
        (folder.local / "a" / "b").write_text("1")
        folder.push()
    assert (tmp_path / "new" / "x" / "a" / "b").read_text() == "1"


def test_in_a_job_a_relative_folder_is_not_in_the_copy_that_ray_deletes(monkeypatch, tmp_path):
    assert Folder("results", "x").local == Path("results/x").resolve()
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Folder("results", "x").local == tmp_path / "results" / "x"
    assert Folder("/data/results", "x").local == Path("/data/results/x")


def test_a_folder_in_a_folder_and_one_that_a_user_names(s3):
    base, _, query = s3.partition("?")
    child = Folder(s3, "a b").child("c")
    assert (child.shown, child.flags) == ("s3://bucket/runs/a%20b/c", "--storage s3://bucket/runs/a%20b --name c")
    child.write("file", b"1")
    assert folder_at(f"{base}/a%20b/c?{query}").read("file") == b"1"
    child.remove("file")
    child.remove("file")  # none there is as well
    assert child.read("file") is None


def test_in_a_job_what_is_read_is_looked_for_in_its_copy_and_then_at_home(monkeypatch, tmp_path):
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


def test_what_tells_that_all_is_there_is_pushed_last_and_what_is_being_made_is_not(s3, monkeypatch):
    with Folder(s3, "order") as folder:
        (folder.local / ".best.partial").mkdir(parents=True)
        for name in ("experiment.yaml", "study.log", "z", ".best.partial/model.safetensors"):
            (folder.local / name).write_text(name)
        written = []
        monkeypatch.setattr(folder, "write", lambda name, content: written.append(name))
        folder.push(last="experiment.yaml")
    assert sorted(written[:-1]) == ["study.log", "z"]
    assert written[-1] == "experiment.yaml"
