"""The same folder of results on this machine and on S3 (a server of this process)."""

import pytest

from decouple_search.storage import Folder
from decouplenet.errors import InputError


@pytest.fixture(params=["here", "s3"])
def storage(request, tmp_path):
    """A storage of each kind."""
    return str(tmp_path) if request.param == "here" else request.getfixturevalue("s3")


def test_what_one_pushes_another_pulls(storage, tmp_path):
    name = "a"
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
        monkeypatch.setattr(folder, "_write", lambda file: written.append(file.name))
        (folder.local / "b").write_text("22")
        folder.push()
        assert written == ["b"]
        local = folder.local
    assert not local.exists()


def test_a_storage_that_cannot_be_used_is_named_without_its_keys(s3):
    with pytest.raises(InputError, match="--storage: 'nothing://bucket/x' cannot be used"):
        Folder("nothing://bucket", "x")
    with Folder(s3.replace("@bucket", "@no-such-bucket"), "x") as folder:
        folder.local.mkdir()
        (folder.local / "a").write_text("1")
        with pytest.raises(InputError, match="--storage: 's3://no-such-bucket/runs/x' cannot be used") as raised:
            folder.push()
    assert "\n" not in str(raised.value)
