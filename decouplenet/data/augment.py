"""Random changes of training images: RandAugment (Cubuk et al., 2020) and Cutout (DeVries and Taylor, 2017).

Works on decoded pixels in the loading threads. All changes to an image are drawn from the generator that comes with
it, so they do not depend on the number of workers or threads. (torchvision's RandAugment draws from the global
generator, so it cannot be used here.) Flips are in `batches.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.config import FACTS, DataConfig

Augment = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8]]
GREY = (124, 116, 104)
"""ImageNet's mean colour, which becomes 0 after normalisation. It fills areas that an operation leaves empty."""


def without_augmentation(config: DataConfig) -> DataConfig:
    """The config with the defaults for all augmentation keys. What remains decides which pixels are read."""
    defaults = DataConfig()
    names = [field.name for field in fields(DataConfig) if FACTS[f"data.{field.name}"].augmentation]
    return replace(config, **{name: getattr(defaults, name) for name in names})


def make_augment(config: DataConfig) -> Augment | None:
    """The augmentation of a config: a function of an S×S×3 image and a generator, or None if it is switched off."""
    count, magnitude, share = config.randaugment, config.randaugment_magnitude / 10, config.cutout
    if not count and not share:
        return None

    def augment(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        if count:
            image = randaugment(image, rng, count, magnitude)
        return cutout(image, rng, share) if share else image

    return augment


def randaugment(image: NDArray[np.uint8], rng: np.random.Generator, count: int, magnitude: float) -> NDArray[np.uint8]:
    """Apply `count` random operations of `OPERATIONS`, which may repeat.

    Args:
        image: S×S×3.
        rng: generator of the random choices.
        count: number of operations.
        magnitude: strength of the operations in [0, 1]; its sign is random.
    """
    from PIL import Image

    picture = Image.fromarray(image)
    names = list(OPERATIONS)
    for chosen in rng.integers(len(names), size=count):
        sign = 1 if rng.random() < 0.5 else -1
        picture = OPERATIONS[names[int(chosen)]](picture, magnitude, sign)
    return np.asarray(picture)


def cutout(image: NDArray[np.uint8], rng: np.random.Generator, share: float) -> NDArray[np.uint8]:
    """Paint a grey square over an image. Its centre is random, so part of the square may be outside the image.

    Args:
        image: S×S×3.
        rng: generator of the random position.
        share: side of the square as a share of the image's side.
    """
    size = image.shape[0]
    half = share * size / 2
    row, column = rng.uniform(0, size, 2)
    painted = image.copy()
    top, left = (max(0, round(centre - half)) for centre in (row, column))
    painted[top : round(row + half), left : round(column + half)] = GREY
    return painted


def _affine(picture: Any, matrix: tuple[float, float, float, float, float, float]) -> Any:
    from PIL import Image

    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=GREY)


def _rotate(picture: Any, degrees: float) -> Any:
    from PIL import Image

    return picture.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=GREY)


def _enhance(kind: str) -> Callable[[Any, float, int], Any]:
    """An operation of PIL's ImageEnhance: colour, contrast and so on. Factor 1 leaves the image as it is."""

    def enhance(picture: Any, magnitude: float, sign: int) -> Any:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, kind)(picture).enhance(1 + sign * 0.9 * magnitude)

    return enhance


def _ops(name: str, *arguments: Any) -> Callable[[Any], Any]:
    def apply(picture: Any) -> Any:
        from PIL import ImageOps

        return getattr(ImageOps, name)(picture, *arguments)

    return apply


# By name: functions of a picture, a magnitude in [0, 1] and a sign. The ranges are AutoAugment's.
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
