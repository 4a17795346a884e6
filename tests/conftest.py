"""Fixtures of all tests: small data that is drawn here, and the shared data where there is any."""

from pathlib import Path

import pytest

from decouplenet.config import Config, nest

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache folder that all tests of a session share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(cache):
    """Make a config that trains in a second: tiny backbone, 120 scenes of 32 px; keyword `a__b` sets a.b."""

    def make(**keys):
        flat = {
            "model.backbone": "tiny",
            "model.pretrained": False,
            "model.maps_per_class": 2,
            "data.image_size": 32,
            "data.synthetic_images": 120,
            "data.cache": str(cache),
            "optim.lr": 0.05,
            "optim.backbone_lr_scale": 1.0,
            "train.epochs": 3,
            "train.batch_size": 16,
        }
        return Config.from_dict(nest(flat | {key.replace("__", "."): value for key, value in keys.items()}))

    return make


@pytest.fixture(scope="session")
def shared():
    """The folder of real photos, labels and weights; the test is skipped where it is not there."""
    if not SHARED.is_dir():
        pytest.skip("no shared data beside the checkout")
    return SHARED
