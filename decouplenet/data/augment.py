"""Random changes of training images: RandAugment (Cubuk et al., 2020) and Cutout (DeVries and Taylor, 2017).

Works on decoded pixels in the loading threads. What is done to an image follows from the generator that it comes
with, so it does not depend on the number of workers or threads. Flips are the batches' own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.config import DataConfig

Augment = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]
AUGMENTATION = ("data.flip", "data.randaugment", "data.randaugment_magnitude", "data.cutout")
"""Keys that change what is made of decoded images, and nothing of how they are read."""
GREY = (124, 116, 104)
"""ImageNet's mean colour, which normalisation takes to 0: of what is moved in from outside, and painted over."""


def make_augment(config: DataConfig) -> Augment | None:
    """What a config asks for: a function of an S×S×3 image and a generator to such an image, or None for nothing."""
    count, magnitude, share = config.randaugment, config.randaugment_magnitude / 10, config.cutout
    if not count and not share:
        return None

    def augment(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        if count:
            image = randaugment(image, rng, count, magnitude)
        return cutout(image, rng, share) if share else image

    return augment


def randaugment(image: NDArray[np.uint8], rng: np.random.Generator, count: int, magnitude: float) -> NDArray[np.uint8]:
    """Apply `count` operations of `OPERATIONS`, each drawn anew.

    Args:
        image: S×S×3.
        rng: what is drawn from.
        count: operations.
        magnitude: their strength in [0, 1]; its sign is drawn.
    """
    from PIL import Image

    picture = Image.fromarray(image)
    names = list(OPERATIONS)
    for chosen in rng.integers(len(names), size=count):
        sign = 1 if rng.random() < 0.5 else -1
        picture = OPERATIONS[names[int(chosen)]](picture, magnitude, sign)
    return np.asarray(picture)


def cutout(image: NDArray[np.uint8], rng: np.random.Generator, share: float) -> NDArray[np.uint8]:
    """Paint a square over, whose centre is anywhere in the image: a part of it may be outside.

    Args:
        image: S×S×3.
        rng: what is drawn from.
        share: of the square's side in the image's.
    """
    size = image.shape[0]
    half = share * size / 2
    row, column = rng.uniform(0, size, 2)
    painted = image.copy()
    top, left = (max(0, round(at - half)) for at in (row, column))
    painted[top : round(row + half), left : round(column + half)] = GREY
    return painted


def _affine(picture: Any, matrix: tuple[float, float, float, float, float, float]) -> Any:
    from PIL import Image

    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=GREY)


def _rotate(picture: Any, degrees: float) -> Any:
    from PIL import Image

    return picture.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=GREY)


def _enhance(kind: str) -> Callable[[Any, float, int], Any]:
    """Colour, contrast and the like: 1 is the image as it is."""

    def enhance(picture: Any, magnitude: float, sign: int) -> Any:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, kind)(picture).enhance(1 + sign * 0.9 * magnitude)

    return enhance


def _ops(name: str, *arguments: Any) -> Callable[[Any], Any]:
    def apply(picture: Any) -> Any:
        from PIL import ImageOps

        return getattr(ImageOps, name)(picture, *arguments)

    return apply


# Name -> from a picture, a magnitude in [0, 1] and a sign to a picture; ranges are AutoAugment's.
OPERATIONS: dict[str, Callable[[Any, float, int], Any]] = {
    "identity": lambda picture, magnitude, sign: picture,
    "autocontrast": lambda picture, magnitude, sign: _ops("autocontrast")(picture),
    "equalize": lambda picture, magnitude, sign: _ops("equalize")(picture),
    "posterize": lambda picture, magnitude, sign: _ops("posterize", 8 - round(4 * magnitude))(picture),
    "solarize": lambda picture, magnitude, sign: _ops("solarize", 256 - round(256 * magnitude))(picture),
    "color": _enhance("Color"),
    "contrast": _enhance("Contrast"),
    "brightness": _enhance("Brightness"),
    "sharpness": _enhance("Sharpness"),
    "rotate": lambda picture, magnitude, sign: _rotate(picture, sign * 30 * magnitude),
    "shear_x": lambda picture, magnitude, sign: _affine(picture, (1, sign * 0.3 * magnitude, 0, 0, 1, 0)),
    "shear_y": lambda picture, magnitude, sign: _affine(picture, (1, 0, 0, sign * 0.3 * magnitude, 1, 0)),
    "translate_x": lambda picture, magnitude, sign: _affine(
        picture, (1, 0, sign * 0.45 * magnitude * picture.width, 0, 1, 0)
    ),
    "translate_y": lambda picture, magnitude, sign: _affine(
        picture, (1, 0, 0, 0, 1, sign * 0.45 * magnitude * picture.height)
    ),
}
