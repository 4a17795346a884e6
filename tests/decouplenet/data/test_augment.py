"""RandAugment and Cutout: their changes, which depend only on their generator."""

import numpy as np
import pytest

from decouplenet.config import DataConfig
from decouplenet.data.augment import GREY, OPERATIONS, cutout, make_augment, randaugment
from decouplenet.data.batches import Batches
from decouplenet.data.image_set import ImageSet


@pytest.fixture
def image():
    """An image like a photo: many colours, and an edge."""
    ramp = np.linspace(0, 255, 24, dtype=np.uint8)
    image = np.stack([np.tile(ramp, (24, 1)), np.tile(ramp[:, None], (1, 24)), np.full((24, 24), 80, np.uint8)], axis=2)
    image[8:16, 8:16] = 200
    return image


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_keeps_the_shape_and_grows_with_its_magnitude(image, name):
    from PIL import Image

    picture = Image.fromarray(image)
    weak, strong = (
        np.abs(np.asarray(OPERATIONS[name](picture, magnitude, 1)).astype(int) - image).mean()
        for magnitude in (0.0, 1.0)
    )
    assert np.asarray(OPERATIONS[name](picture, 1.0, -1)).shape == image.shape
    fixed = {"identity", "autocontrast", "equalize"}
    assert (strong > weak and weak < 1) or name in fixed


def test_randaugment_depends_only_on_its_generator(image):
    drawn = [randaugment(image, np.random.default_rng(seed), 2, 0.9) for seed in (0, 0, 1, 2, 3)]
    assert (drawn[0] == drawn[1]).all()
    assert any((drawn[0] != other).any() for other in drawn[2:])
    assert drawn[0].dtype == np.uint8


def test_cutout_paints_a_square_of_the_given_share(image):
    shares = []
    for seed in range(200):
        painted = cutout(image, np.random.default_rng(seed), 0.5)
        changed = (painted == GREY).all(2)
        shares.append(changed.mean())
        rows, columns = changed.any(1).sum(), changed.any(0).sum()
        assert changed.sum() == rows * columns
        assert (painted[~changed] == image[~changed]).all()
    assert min(shares) > 0.06  # a quarter of the square is in the image if its centre is in a corner
    assert max(shares) == pytest.approx(0.25, abs=0.03)


def test_no_augmentation_by_default():
    assert make_augment(DataConfig()) is None
    augment = make_augment(DataConfig(cutout=0.5))
    assert (augment(np.zeros((8, 8, 3), np.uint8), np.random.default_rng(0)) == GREY).all(2).any()


def test_batches_are_the_same_for_any_number_of_workers_and_threads():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 8, 8, 3), np.uint8)
    images = ImageSet(tuple(map(str, range(12))), np.eye(12, 3, dtype=np.uint8), ("a", "b", "c"))
    augment = make_augment(DataConfig(randaugment=2, cutout=0.3))

    def epoch(world, threads, number=0):
        seen = {}
        for rank in range(world):
            batches = Batches(images, pixels, 6, rank=rank, world=world, threads=threads)
            for batch in batches.training(5, number, flip=True, augment=augment):
                seen |= dict(zip(batch.indices.tolist(), batch.images.clone(), strict=True))
        return seen

    one_worker, three_workers = epoch(1, 1), epoch(3, 2)
    assert one_worker.keys() == three_workers.keys() == set(range(12))
    assert all((one_worker[i] == three_workers[i]).all() for i in one_worker)
    later = epoch(1, 1, 1)
    assert any((one_worker[i] != later[i]).any() for i in one_worker)
