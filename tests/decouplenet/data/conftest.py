"""Small photos."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo():
    """Write a small image of its own content to a path."""

    def write(path, seed=0, size=(12, 10)):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write
