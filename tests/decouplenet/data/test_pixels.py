"""The synthetic scenes, batches and normalisation."""

import json

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouplenet.config import DataConfig
from decouplenet.data.batches import Batches
from decouplenet.data.formats import load_image_sets
from decouplenet.data.image_set import ImageSet
from decouplenet.data.synthetic import CLASS_NAMES, GLYPHS, SETTINGS, write_scenes
from decouplenet.data.transforms import flip_, normalise


def test_scenes_depend_only_on_their_seed(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_scenes(tmp_path / name, 10, seed)
    files = {name: sorted((tmp_path / name).rglob("*.*")) for name in "abc"}
    contents = {name: [file.read_bytes() for file in files[name]] for name in "abc"}
    assert contents["a"] == contents["b"]
    assert contents["a"] != contents["c"]


def test_scenes_have_the_documented_labels(tmp_path):
    config = DataConfig(cache=str(tmp_path), synthetic_images=300)
    train, val = load_image_sets(config)
    assert (len(train), len(val)) == (240, 60)
    assert len(CLASS_NAMES) >= 10
    targets = np.concatenate([train.targets, val.targets])
    assert targets.sum(1).mean() > 2
    assert (targets.mean(0) > 0.03).all()
    together = {name: targets[targets[:, CLASS_NAMES.index(name)] == 1].mean(0) for name in ("sun", "wheel")}
    assert together["sun"][CLASS_NAMES.index("kite")] == 1  # the kite tells a sun from a ball
    assert together["sun"][CLASS_NAMES.index("flag")] == 0
    assert together["wheel"][CLASS_NAMES.index("house")] == 1
    content = json.loads((next(tmp_path.glob("synthetic-*")) / "instances_train.json").read_text())
    areas = [annotation["area"] for annotation in content["annotations"]]
    assert max(areas) > 8 * min(areas)


def test_the_setting_tells_shared_glyphs_apart():
    """Classes with the same glyph never share a setting, nor the class that is always in it."""
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
def test_each_image_is_evaluated_once(n, size, world):
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


def test_each_epoch_and_seed_has_its_own_order():
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
    mirrored = flip_(images.clone(), torch.tensor([True, False]))
    assert torch.equal(mirrored[0], images[0].flip(2))
    assert torch.equal(mirrored[1], images[1])
