"""The label formats by the name that `data.format` takes, and the training and validation sets of a config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from decouplenet.config import DataConfig
from decouplenet.data.image_set import Fault, ImageSet
from decouplenet.data.places import refuse, shown
from decouplenet.errors import InputError


def load_image_sets(config: DataConfig, fault: Fault = refuse) -> tuple[ImageSet, ImageSet]:
    """The training and the validation images of a config; without val files, a share of train is held out.

    With `data.holdout` 0 too there is no validation image.

    The held-out images are drawn once from the number of images alone, so every trial of a search, whatever
    its seed, is measured on the same ones.

    Args:
        config: what to read.
        fault: told of each fault in the data; if it returns, reading goes on without what is at fault.

    Raises:
        InputError: files that are missing or do not fit together, named with what to do.
    """
    train, val = FORMATS[config.format](config, fault)
    if config.drop_unlabelled:
        train, val = _labelled(train), val and _labelled(val)
    if val is not None and not len(val):
        raise InputError("data.val_annotations: no image is left of it")
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


def _labelled(images: ImageSet) -> ImageSet:
    """The images that have a label, or may have one."""
    some = images.targets.any(1)
    return images.subset(np.flatnonzero(some if images.ignored is None else some | images.ignored.any(1)))


Pair = tuple[ImageSet, ImageSet | None]


def _needed(config: DataConfig, *names: str) -> list[str]:
    """The values of keys that a format needs."""
    values = {name: getattr(config, name) for name in names}
    missing = next((name for name, value in values.items() if not value), None)
    if missing:
        needs = " and ".join(f"data.{name}" for name in names)
        raise InputError(f"data.{missing}: not given; data.format {config.format} needs {needs}")
    return list(values.values())


def _coco(config: DataConfig, fault: Fault) -> Pair:
    from decouplenet.data.coco import read_coco

    annotations, images = _needed(config, "train_annotations", "train_images")
    train = read_coco(annotations, images, crowd=config.crowd, key="data.train", fault=fault)
    if not config.val_annotations:
        return train, None
    images = config.val_images or images
    return train, read_coco(config.val_annotations, images, crowd=config.crowd, key="data.val", fault=fault)


def _nuswide(config: DataConfig, fault: Fault) -> Pair:
    from decouplenet.data.nuswide import read_nuswide

    annotations, images = _needed(config, "train_annotations", "train_images")
    told: dict[str, Any] = {"columns": _columns(config), "fault": fault}
    train = read_nuswide(annotations, images, test=False, key="data.train", **told)
    if not config.val_annotations:
        return train, None
    images = config.val_images or images
    val = read_nuswide(config.val_annotations, images, test=True, key="data.val", **told)
    if val.paths == train.paths:
        raise InputError(
            f"data.val_annotations: '{shown(config.val_annotations)}' has no split column, and gives train's images"
        )
    return train, val


def _voc(config: DataConfig, fault: Fault) -> Pair:
    from decouplenet.data.voc import read_voc

    (annotations,) = _needed(config, "train_annotations")
    told: dict[str, Any] = {"difficult": config.difficult, "fault": fault}
    train = read_voc(annotations, config.train_images, key="data.train", **told)
    if not config.val_annotations:
        return train, None
    images = config.val_images or config.train_images
    return train, read_voc(config.val_annotations, images, key="data.val", classes=train.class_names, **told)


def _table(config: DataConfig, fault: Fault) -> Pair:
    from decouplenet.data.table import Table

    (annotations,) = _needed(config, "train_annotations")
    table = Table(annotations, key="data.train", **_columns(config))
    train = table.images(config.train_images, splits=("train",), fault=fault)
    if not config.val_annotations and "val" not in table.splits:
        return train, None
    file = config.val_annotations or annotations
    other = Table(file, key="data.val", **{**_columns(config), "separator": table.separator or None})
    if file == annotations and not other.splits:
        raise InputError(f"data.val_annotations: '{shown(file)}' is data.train_annotations, and has no split column")
    of = ("val",) if "val" in other.splits else ("test",)
    images = config.val_images or config.train_images
    return train, other.images(images, splits=of, classes=train.class_names, fault=fault)


def _columns(config: DataConfig) -> dict[str, Any]:
    """What the config says of a table's columns."""
    names = ("path_column", "label_column", "split_column")
    return {name: getattr(config, name) for name in names} | {"separator": config.label_separator}


def _synthetic(config: DataConfig, fault: Fault) -> Pair:
    from decouplenet.data.coco import read_coco
    from decouplenet.data.synthetic import ensure_scenes

    folder = ensure_scenes(config.cache, config.synthetic_images, config.synthetic_seed)
    train, val = (
        read_coco(folder / f"instances_{split}.json", folder / "images", crowd=True, key="data", fault=fault)
        for split in ("train", "val")
    )
    return train, val


FORMATS: dict[str, Callable[[DataConfig, Fault], Pair]] = {
    "coco": _coco,
    "nuswide": _nuswide,
    "voc": _voc,
    "table": _table,
    "synthetic": _synthetic,
}
