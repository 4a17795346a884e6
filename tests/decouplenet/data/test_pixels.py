"""Decoded pixels, the synthetic scenes, and batches."""

import json
import multiprocessing

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from decouplenet.config import DataConfig
from decouplenet.data import cache as cache_module
from decouplenet.data.batches import Batches
from decouplenet.data.cache import decode_square, open_pixels
from decouplenet.data.image_set import ImageSet, load_image_sets
from decouplenet.data.synthetic import CLASS_NAMES, GLYPHS, SETTINGS, write_scenes
from decouplenet.data.transforms import flip, normalise
from decouplenet.errors import InputError


@pytest.fixture
def photos(tmp_path):
    """Nine JPEGs of different sizes."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(9):
        paths.append(tmp_path / f"{i}.jpg")
        Image.fromarray(rng.integers(0, 256, (40 + i, 60, 3), np.uint8)).save(paths[-1])
    return ImageSet(tuple(paths), np.eye(9, dtype=np.uint8), tuple("abcdefghi"))


def test_decode_warps_to_a_square_of_rgb(tmp_path):
    Image.new("L", (30, 10), 77).save(tmp_path / "grey.png")
    pixels = decode_square(tmp_path / "grey.png", 16)
    assert pixels.shape == (16, 16, 3)
    assert (pixels == 77).all()


def test_sixteen_bits_become_eight_and_unknown_ranges_are_refused(tmp_path):
    Image.fromarray(np.full((20, 20), 0x8012, np.uint16)).save(tmp_path / "deep.png")
    assert (decode_square(tmp_path / "deep.png", 8) == 0x80).all()
    Image.fromarray(np.full((20, 20), 0.5, np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(InputError, match=r"float\.tiff: cannot be decoded .*mode F"):
        decode_square(tmp_path / "float.tiff", 8)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_every_usual_mode_becomes_rgb(tmp_path, mode):
    Image.new("RGB", (9, 7), "white").convert(mode).save(tmp_path / "image.tiff")
    assert (decode_square(tmp_path / "image.tiff", 8) == 255).all()


def test_the_cache_gives_what_decoding_gives(photos, tmp_path):
    cached = open_pixels(photos, 24, str(tmp_path / "cache"))
    each_time = open_pixels(photos, 24, "none")
    some = np.array([8, 0, 3])
    assert np.array_equal(cached[some], each_time[some])


def test_no_image_is_decoded_twice(photos, tmp_path, monkeypatch):
    decoded = []

    def counting(path, size):
        decoded.append(path)
        return decode_square(path, size)

    monkeypatch.setattr(cache_module, "decode_square", counting)
    for _ in range(2):
        open_pixels(photos, 24, str(tmp_path / "cache"))
    assert sorted(decoded) == sorted(photos.paths)
    photos.paths[0].write_bytes(photos.paths[1].read_bytes())  # a changed file is another key
    open_pixels(photos, 24, str(tmp_path / "cache"))
    assert len(decoded) == 18


def _open(photos, folder, started):
    started.wait()
    open_pixels(photos, 24, folder, progress=lambda done, n: done == n and print("decoded", flush=True))


def test_processes_that_come_together_decode_once(photos, tmp_path, capfd):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    processes = [context.Process(target=_open, args=(photos, str(tmp_path / "cache"), started)) for _ in range(4)]
    for process in processes:
        process.start()
    started.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert capfd.readouterr().out.count("decoded") == 1


def test_a_broken_image_is_named_and_leaves_nothing(photos, tmp_path):
    photos.paths[4].write_bytes(b"\xff\xd8 broken")
    with pytest.raises(InputError, match=r"4\.jpg: cannot be decoded"):
        open_pixels(photos, 24, str(tmp_path / "cache"))
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_disk_that_is_too_small_is_said_before_decoding(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match=r"data.cache: .* free; give another folder, or none"):
        open_pixels(photos, 24, str(tmp_path / "cache"))


def test_scenes_follow_from_their_seed(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_scenes(tmp_path / name, 10, seed)
    files = {name: sorted((tmp_path / name).rglob("*.*")) for name in "abc"}
    contents = {name: [file.read_bytes() for file in files[name]] for name in "abc"}
    assert contents["a"] == contents["b"]
    assert contents["a"] != contents["c"]


def test_scenes_are_what_they_promise(tmp_path):
    config = DataConfig(cache=str(tmp_path), synthetic_images=300)
    train, val = load_image_sets(config)
    assert (len(train), len(val)) == (240, 60)
    assert len(CLASS_NAMES) >= 10
    targets = np.concatenate([train.targets, val.targets])
    assert targets.sum(1).mean() > 2
    assert (targets.mean(0) > 0.03).all()
    together = {name: targets[targets[:, CLASS_NAMES.index(name)] == 1].mean(0) for name in ("sun", "wheel")}
    assert together["sun"][CLASS_NAMES.index("kite")] == 1  # the company that tells a sun from a ball
    assert together["sun"][CLASS_NAMES.index("flag")] == 0
    assert together["wheel"][CLASS_NAMES.index("house")] == 1
    content = json.loads((next(tmp_path.glob("synthetic-*")) / "instances_train.json").read_text())
    areas = [annotation["area"] for annotation in content["annotations"]]
    assert max(areas) > 8 * min(areas)


def test_each_shared_glyph_has_company_that_tells():
    """Two classes of one glyph never share a setting, nor the class that a setting always has."""
    for glyph in set(GLYPHS.values()):
        homes = [
            {s for s, contents in SETTINGS.items() if name in contents} for name in GLYPHS if GLYPHS[name] == glyph
        ]
        assert all(len(home) == 1 for home in homes)
        companions = [next(iter(SETTINGS[next(iter(home))])) for home in homes]
        assert len(set(companions)) == len(companions)


def batches(n, size, rank=0, world=1):
    images = ImageSet((), np.arange(n * 2).reshape(n, 2).astype(np.uint8) % 2, ("a", "b"))
    object.__setattr__(images, "paths", tuple(range(n)))
    return Batches(images, np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1).repeat(3, 3), size, rank=rank, world=world)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 60), size=st.integers(2, 20), world=st.integers(1, 5), epoch=st.integers(0, 3))
def test_workers_share_the_same_global_batches(n, size, world, epoch):
    size = max(size, world)
    alone = list(batches(n, size).training(0, epoch, flip=True))
    split = [list(batches(n, size, rank, world).training(0, epoch, flip=True)) for rank in range(world)]
    for step, whole in enumerate(alone):
        expected = dict(zip(whole.indices.tolist(), whole.flipped.tolist(), strict=True))
        pieces = {}
        for worker in split:
            pieces |= dict(zip(worker[step].indices.tolist(), worker[step].flipped.tolist(), strict=True))
        assert pieces == expected
    assert len(alone) == n // min(n, size)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 60), size=st.integers(2, 20), world=st.integers(1, 5))
def test_evaluation_takes_each_image_once(n, size, world):
    seen = []
    for rank in range(world):
        for batch in batches(n, size, rank, world).evaluation():
            assert len(batch.indices) == len(batch.images) == len(batch.targets) == len(batch.flipped)
            assert not batch.flipped.any()
            seen += batch.indices.tolist()
    assert sorted(seen) == list(range(n))


def test_a_batch_holds_its_own_pixels_and_labels():
    for batch in batches(23, 5).training(1, 0, flip=False):
        assert batch.images[:, 0, 0, 0].tolist() == batch.indices.tolist()
        assert batch.targets[:, 1].tolist() == [(2 * i + 1) % 2 for i in batch.indices.tolist()]
        assert not batch.flipped.any()


def test_epochs_and_seeds_shuffle_anew():
    orders = [
        tuple(i for batch in batches(40, 8).training(seed, epoch, flip=True) for i in batch.indices.tolist())
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert len(set(orders)) == 3


def test_normalise_and_flip():
    images = torch.randint(0, 256, (2, 3, 4, 6), dtype=torch.uint8)
    from torchvision.transforms.v2.functional import normalize

    expected = normalize(images / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(normalise(images), expected)
    mirrored = flip(images, torch.tensor([True, False]))
    assert torch.equal(mirrored[0], images[0].flip(2))
    assert torch.equal(mirrored[1], images[1])
