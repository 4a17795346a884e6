"""A config that runs as it is from another folder."""

import pytest

from decouplenet.deepspeed_config import deepspeed_config
from decouplenet.errors import InputError
from decouplenet.portable import with_absolute_paths


def test_deepspeeds_file_is_read_into_the_config(config, tmp_path):
    file = tmp_path / "ds.json"
    file.write_text('{"wall_clock_breakdown": true}')
    portable = with_absolute_paths(config(train__strategy="deepspeed", train__deepspeed_config=str(file)))
    file.unlink()
    assert deepspeed_config(portable, 1)["wall_clock_breakdown"] is True


def test_deepspeeds_settings_are_checked(config):
    with pytest.raises(InputError, match=r"train.deepspeed_config: the JSON sets 'amp'; remove it"):
        with_absolute_paths(config(train__deepspeed_config='{"amp": {}}'))


def test_paths_of_existing_files_and_of_the_cache_become_absolute(config, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    given = config(data__train_images="photos", data__val_images="elsewhere", data__cache="cache")
    portable = with_absolute_paths(given)
    assert portable.data.train_images == str(tmp_path / "photos")
    assert portable.data.val_images == "elsewhere"
    assert portable.data.cache == str(tmp_path / "cache")


def test_patterns_and_the_file_of_the_classes_become_absolute(config, tmp_path, monkeypatch):
    (tmp_path / "hf").mkdir()
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    monkeypatch.chdir(tmp_path)
    given = config(data__train_annotations="hf/train-*.parquet", data__classes="names.txt")
    given.data.val_annotations = "s3://bucket/val-*.parquet"
    portable = with_absolute_paths(given)
    assert portable.data.train_annotations == str(tmp_path / "hf" / "train-*.parquet")
    assert portable.data.val_annotations == "s3://bucket/val-*.parquet"
    assert portable.data.classes == str(tmp_path / "names.txt")
    assert with_absolute_paths(config(data__classes=["cat", "dog"])).data.classes == ["cat", "dog"]
