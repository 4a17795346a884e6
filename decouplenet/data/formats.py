"""The label formats by the name that `data.format` takes, and the training and validation images of a config."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from decouplenet.config import DataConfig
from decouplenet.data.image_set import ImageSet, OnFault
from decouplenet.data.places import refuse, shown
from decouplenet.errors import InputError
from decouplenet.extensions import FORMATS

Splits = tuple[ImageSet, ImageSet | None]
"""The training images, and the validation images if the data names some."""


def load_image_sets(config: DataConfig, on_fault: OnFault = refuse) -> tuple[ImageSet, ImageSet]:
    """The training and the validation images of a config.

    Without validation annotations, a share `data.holdout` of the training images is held out; with 0 there are no
    validation images. Which images are held out depends only on their number, so all trials of a search are measured
    on the same images, whatever their seed.

    Args:
        config: the config of the data.
        on_fault: called with each fault in the data; if it returns, reading continues without the faulty item.

    Raises:
        InputError: a file is missing or damaged, or the splits do not fit together.
    """
    if config.format in BUILT_IN:
        train, val = BUILT_IN[config.format].read(config, on_fault)
    else:
        train, val = _checked(config.format, FORMATS.call(config.format, config, on_fault))
    if config.drop_unlabelled:
        train, val = _labelled(train), val and _labelled(val)
    if val is not None and not len(val):
        raise InputError("data.val_annotations: no image is left; give annotations with at least 1 image")
    if val is None:
        order = np.random.default_rng(0).permutation(len(train))
        count = max(1, round(config.holdout * len(train))) if config.holdout else 0
        train, val = train.subset(np.sort(order[count:])), train.subset(np.sort(order[:count]))
    if train.class_names != val.class_names:
        difference = sorted(set(train.class_names) ^ set(val.class_names))[:5]
        detail = f"they differ in {difference}" if difference else "their order differs"
        raise InputError(
            f"data.val_annotations: its classes are not those of data.train_annotations ({detail}); "
            "give annotations with the same classes"
        )
    if len(train) < 2:
        raise InputError(f"data.train_annotations: {len(train)} training images are left; at least 2 are needed")
    return train, val


def _checked(name: str, sets: Any) -> Splits:
    """The image sets of an extension's format, refused unless each fits together."""
    match sets:
        case (ImageSet() as train, ImageSet() | None as val):
            pass
        case _:
            raise InputError(f"data.format: '{name}' made no pair of ImageSets (the second may be None)")
    for images in filter(None, (train, val)):
        shape = len(images.paths), len(images.class_names)
        for part, array in (("targets", images.targets), ("ignored", images.ignored)):
            if array is not None and np.shape(array) != shape:
                raise InputError(f"data.format: '{name}' made {part} of shape {np.shape(array)}, not {shape}")
    return _as_arrays(train), val and _as_arrays(val)


def _as_arrays(images: ImageSet) -> ImageSet:
    """The same images; what a reader gave as lists becomes tuples and arrays."""
    ignored = None if images.ignored is None else np.asarray(images.ignored, bool)
    return ImageSet(tuple(images.paths), np.asarray(images.targets, np.uint8), tuple(images.class_names), ignored)


def _labelled(images: ImageSet) -> ImageSet:
    """The images with at least one label, certain or ignored."""
    labelled = images.targets.any(1)
    return images.subset(np.flatnonzero(labelled if images.ignored is None else labelled | images.ignored.any(1)))


def _required(config: DataConfig) -> list[str]:
    """The values of the keys that the config's format requires."""
    names = BUILT_IN[config.format].required
    values = {name: getattr(config, name) for name in names}
    missing = next((name for name, value in values.items() if not value), None)
    if missing:
        needs = " and ".join(f"data.{name}" for name in names)
        raise InputError(f"data.{missing}: not given; data.format {config.format} needs {needs}")
    return list(values.values())


def _coco(config: DataConfig, on_fault: OnFault) -> Splits:
    from decouplenet.data.coco import read_coco

    annotations, images = _required(config)
    train = read_coco(annotations, images, crowd=config.crowd, key="data.train", on_fault=on_fault)
    if not config.val_annotations:
        return train, None
    images = config.val_images or images
    return train, read_coco(config.val_annotations, images, crowd=config.crowd, key="data.val", on_fault=on_fault)


def _nuswide(config: DataConfig, on_fault: OnFault) -> Splits:
    from decouplenet.data.nuswide import read_nuswide

    annotations, images = _required(config)
    options: dict[str, Any] = {"columns": _columns(config), "on_fault": on_fault}
    train = read_nuswide(annotations, images, test=False, key="data.train", **options)
    if not config.val_annotations:
        return train, None
    images = config.val_images or images
    val = read_nuswide(config.val_annotations, images, test=True, key="data.val", **options)
    if val.paths == train.paths:
        raise InputError(
            f"data.val_annotations: '{shown(config.val_annotations)}' has no split column, so its images are the "
            "training images; add the column or give another file"
        )
    return train, val


def _voc(config: DataConfig, on_fault: OnFault) -> Splits:
    from decouplenet.data.voc import read_voc

    (annotations,) = _required(config)
    options: dict[str, Any] = {"difficult": config.difficult, "on_fault": on_fault}
    train = read_voc(annotations, config.train_images, key="data.train", **options)
    if not config.val_annotations:
        return train, None
    images = config.val_images or config.train_images
    return train, read_voc(config.val_annotations, images, key="data.val", classes=train.class_names, **options)


def _table(config: DataConfig, on_fault: OnFault) -> Splits:
    from decouplenet.data.table import Table

    (annotations,) = _required(config)
    table = Table(annotations, key="data.train", **_columns(config))
    train = table.images(config.train_images, splits=("train",), on_fault=on_fault)
    if not config.val_annotations and "val" not in table.splits:
        return train, None
    val_annotations = config.val_annotations or annotations
    val_table = Table(val_annotations, key="data.val", **{**_columns(config), "separator": table.separator or None})
    if val_annotations == annotations and not val_table.splits:
        raise InputError(
            f"data.val_annotations: '{shown(val_annotations)}' is data.train_annotations, and has no split column; "
            "add the column or give another file"
        )
    splits = ("val",) if "val" in val_table.splits else ("test",)
    images = config.val_images or config.train_images
    return train, val_table.images(images, splits=splits, classes=train.class_names, on_fault=on_fault)


def _columns(config: DataConfig) -> dict[str, Any]:
    """The config's settings for the columns of a table, as arguments of `Table`."""
    names = ("path_column", "label_column", "split_column")
    return {name: getattr(config, name) for name in names} | {"separator": config.label_separator}


def _synthetic(config: DataConfig, on_fault: OnFault) -> Splits:
    from decouplenet.data.coco import read_coco
    from decouplenet.data.synthetic import ensure_scenes

    folder = ensure_scenes(config.cache, config.synthetic_images, config.synthetic_seed)
    train, val = (
        read_coco(folder / f"instances_{split}.json", folder / "images", crowd=True, key="data", on_fault=on_fault)
        for split in ("train", "val")
    )
    return train, val


class Format(NamedTuple):
    """A label format of the project itself."""

    read: Callable[[DataConfig, OnFault], Splits]
    """Reads the training images, and the validation images if the data names some."""
    required: tuple[str, ...]
    """The fields of the config that it needs."""


BUILT_IN: dict[str, Format] = {
    "coco": Format(_coco, ("train_annotations", "train_images")),
    "nuswide": Format(_nuswide, ("train_annotations", "train_images")),
    "voc": Format(_voc, ("train_annotations",)),
    "table": Format(_table, ("train_annotations",)),
    "synthetic": Format(_synthetic, ()),
}
