"""The opened images of a config, and the images that `data.broken` skip leaves out."""

import numpy as np
import pytest

from decouplenet.config import DataConfig
from decouplenet.data import cache as cache_module
from decouplenet.data.images.decoding import decode_square
from decouplenet.data.opened import open_data
from decouplenet.errors import InputError


@pytest.fixture
def config(tmp_path, photo):
    """Nine images, of which the fourth and the ninth, for validation, are broken."""
    rows = ["path,labels,split"]
    for i in range(1, 10):
        file = photo(tmp_path / f"{i}.jpg", i)
        if i in (4, 9):
            file.write_bytes(b"\xff\xd8\xff no photo")
        rows.append(f"{i}.jpg,{'cat' if i % 2 else 'dog'},{'train' if i < 8 else 'val'}")
    (tmp_path / "t.csv").write_text("\n".join(rows))

    def make(**keys):
        defaults = {"format": "table", "train_annotations": str(tmp_path / "t.csv"), "image_size": 8}
        defaults |= {"cache": str(tmp_path / "cache"), "broken": "skip", "broken_share": 0.5}
        return DataConfig(**defaults | keys)

    return make


@pytest.mark.parametrize("cache", [None, "none"])
def test_broken_images_are_left_out_with_their_labels(config, cache):
    data = open_data(config(**{"cache": cache} if cache else {}))
    assert [path.name for path in data.train.paths] == [f"{i}.jpg" for i in (1, 2, 3, 5, 6, 7)]
    assert [path.name for path in data.val.paths] == ["8.jpg"]
    assert data.broken == 2
    assert data.train.targets[:, 0].tolist() == [1, 0, 1, 1, 0, 1]
    for i, path in enumerate(data.train.paths):
        assert np.array_equal(data.train_pixels[np.array([i])][0], decode_square(path, 8))


def test_what_is_broken_is_known_from_the_cache(config, monkeypatch):
    first = open_data(config())
    monkeypatch.setattr(cache_module, "decode_square", None)  # nothing is decoded again
    again = open_data(config())
    assert (again.train.paths, again.broken) == (first.train.paths, 2)
    with pytest.raises(InputError, match=r"4\.jpg: cannot be decoded"):
        open_data(config(broken="fail"))


def test_too_many_broken_images_are_refused(config):
    message = r"^1 of 7 train images cannot be decoded, more than data.broken_share 0.1 allows; the first: .*4\.jpg"
    with pytest.raises(InputError, match=message):
        open_data(config(broken_share=0.1))


def test_a_repaired_image_is_used(config, tmp_path, photo):
    open_data(config())
    photo(tmp_path / "4.jpg", 4)
    photo(tmp_path / "9.jpg", 9)
    data = open_data(config())
    assert (len(data.train), len(data.val), data.broken) == (7, 2, 0)


def test_without_skip_the_first_broken_image_ends_the_run(config):
    with pytest.raises(InputError, match=r"4\.jpg: cannot be decoded"):
        open_data(config(broken="fail"))
