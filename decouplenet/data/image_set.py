"""What every format is read into (`ImageSet`), and the training and validation sets that a config names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decouplenet.config import DataConfig
from decouplenet.errors import InputError


@dataclass(frozen=True)
class ImageSet:
    """N images with their labels, not decoded yet."""

    paths: tuple[Path, ...]
    """Their files, N."""
    targets: NDArray[np.uint8]
    """N×C, 1 where an image has the class."""
    class_names: tuple[str, ...]
    """C names."""

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> ImageSet:
        """The images at `indices`, in that order."""
        return ImageSet(tuple(self.paths[i] for i in indices), self.targets[indices], self.class_names)


def load_image_sets(config: DataConfig) -> tuple[ImageSet, ImageSet]:
    """The training and the validation images of a config; without val files, a share of train is held out.

    With `data.holdout` 0 too there is no validation image.

    The held-out images are drawn once from the number of images alone, so every trial of a search, whatever
    its seed, is measured on the same ones.

    Raises:
        InputError: files that are missing or do not fit together, named with what to do.
    """
    train, val = FORMATS[config.format](config)
    if val is None:
        order = np.random.default_rng(0).permutation(len(train))
        held_out = max(1, round(config.holdout * len(train))) if config.holdout else 0
        train, val = train.subset(np.sort(order[held_out:])), train.subset(np.sort(order[:held_out]))
    if train.class_names != val.class_names:
        ours, theirs = set(train.class_names), set(val.class_names)
        detail = f"only one has {sorted(ours ^ theirs)[:5]}" if ours != theirs else "in another order"
        raise InputError(f"data.val_annotations: its classes are not those of data.train_annotations ({detail})")
    if len(train) < 2:
        raise InputError(f"data.train_annotations: {len(train)} training images are left; at least 2 are needed")
    return train, val


def _coco(config: DataConfig) -> tuple[ImageSet, ImageSet | None]:
    from decouplenet.data.coco import read_coco

    if not (config.train_annotations and config.train_images):
        missing = "data.train_images" if config.train_annotations else "data.train_annotations"
        raise InputError(f"{missing}: not given; data.format coco needs data.train_annotations and data.train_images")
    train = read_coco(config.train_annotations, config.train_images, crowd=config.crowd, key="data.train")
    if not config.val_annotations:
        return train, None
    images = config.val_images or config.train_images
    return train, read_coco(config.val_annotations, images, crowd=config.crowd, key="data.val")


def _synthetic(config: DataConfig) -> tuple[ImageSet, ImageSet | None]:
    from decouplenet.data.coco import read_coco
    from decouplenet.data.synthetic import ensure_scenes

    folder = ensure_scenes(config.cache, config.synthetic_images, config.synthetic_seed)
    train, val = (
        read_coco(folder / f"instances_{split}.json", folder / "images", crowd=True, key="data")
        for split in ("train", "val")
    )
    return train, val


FORMATS: dict[str, Callable[[DataConfig], tuple[ImageSet, ImageSet | None]]] = {
    "coco": _coco,
    "synthetic": _synthetic,
}
