"""The checkpoints of a search: their order, and what happens when the storage fails."""

import pytest

from decouple_search.storage.checkpoints import Checkpoints, age_key
from decouple_search.storage.opening import open_folder
from decouplenet.errors import InputError


def test_checkpoints_are_ordered_by_run_then_attempt_then_number():
    names = ["0/checkpoint_2-000000", "0/checkpoint_2-000010", "0.1/checkpoint_2-000001", "0/checkpoint_10-000000"]
    names += ["0/checkpoint_000000", "0.1/checkpoint_000000"]
    paths = [f"trials/{name}" for name in names]
    shuffled = [paths[i] for i in (3, 5, 0, 4, 1, 2)]
    assert sorted(shuffled, key=age_key) == paths


@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_a_storage_that_fails_is_an_error_in_one_line(kind, request, tmp_path, monkeypatch):
    class FailingSystem:
        type_name = "s3"

        def get_file_info(self, selector):
            raise OSError("ACCESS_DENIED\nduring ListObjectsV2")

    storage = str(tmp_path) if kind == "disk" else request.getfixturevalue("s3")
    with open_folder(storage, "failing") as folder:
        checkpoints = Checkpoints(folder)
        monkeypatch.setattr(checkpoints, "system", FailingSystem())
        with pytest.raises(InputError, match=r"--storage: '.*' cannot be used \(ACCESS_DENIED during") as raised:
            checkpoints.delete_files()
    assert "\n" not in str(raised.value)
