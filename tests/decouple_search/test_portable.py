"""A config that runs as it is from another folder."""

import pytest

from decouple_search.portable import self_contained
from decouplenet.deepspeed_config import deepspeed_config
from decouplenet.errors import InputError


def test_deepspeeds_settings_are_read_in(config, tmp_path):
    file = tmp_path / "ds.json"
    file.write_text('{"wall_clock_breakdown": true}')
    read_in = self_contained(config(train__strategy="deepspeed", train__deepspeed_config=str(file)))
    file.unlink()
    assert deepspeed_config(read_in, 1)["wall_clock_breakdown"] is True


def test_deepspeeds_settings_are_checked_first(config):
    with pytest.raises(InputError, match=r"train.deepspeed_config: it sets 'amp'; take it out"):
        self_contained(config(train__deepspeed_config='{"amp": {}}'))


def test_paths_of_what_is_here_become_absolute(config, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    made = self_contained(config(data__train_images="photos", data__val_images="elsewhere", data__cache="cache"))
    assert made.data.train_images == str(tmp_path / "photos")
    assert made.data.val_images == "elsewhere"
    assert made.data.cache == str(tmp_path / "cache")
