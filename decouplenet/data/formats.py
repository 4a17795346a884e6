"""The label formats by the name that `data.format` takes, and the images of a config: train, val and test."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from decouplenet.config import DataConfig
from decouplenet.data.class_file import Classes, read_classes
from decouplenet.data.classes import fit_classes
from decouplenet.data.holdout import stratified_parts
from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import shown
from decouplenet.data.reporter import STRICT, Reporter
from decouplenet.data.tables.table import Table
from decouplenet.errors import InputError
from decouplenet.extensions import FORMATS
from decouplenet.wording import counted

TRAIN, VAL, TEST = "train", "val", "test"
FORMAT_MISSING = "data.train_annotations: given, but data.format is synthetic; set it to coco, nuswide, voc or table"


class Splits(NamedTuple):
    """The images of a data set."""

    train: ImageSet
    """The training images."""
    val: ImageSet | None
    """The validation images, if the data names some."""
    test: ImageSet | None = None
    """The test images, if the data names some and they are wanted."""


def load_image_sets(config: DataConfig, reporter: Reporter = STRICT) -> tuple[ImageSet, ImageSet]:
    """The training and the validation images of a config. See `load_splits`."""
    train, val, _ = load_splits(config, reporter)
    return train, val


def load_split(config: DataConfig, split: str) -> ImageSet:
    """The images of a split of a config.

    Args:
        config: the config of the data.
        split: train, val or test.

    Raises:
        InputError: as for `load_splits`, or the data names no test images.
    """
    train, val, test = load_splits(config, test=split == TEST)
    if split == TEST and test is None:
        raise InputError("data.test_annotations: not given; --split test needs test images")
    images: dict[str, ImageSet | None] = {TRAIN: train, VAL: val, TEST: test}
    return images[split] or train.subset([])


def load_splits(
    config: DataConfig, reporter: Reporter = STRICT, *, test: bool = False
) -> tuple[ImageSet, ImageSet, ImageSet | None]:
    """The training, validation and test images of a config, with the same classes.

    Without validation annotations, one of `data.folds` parts of the training images is for validation, or a share
    `data.holdout` of them is; with 0 there are no validation images. Which images these are depends only on their
    labels and their order, so all trials of a search are measured on the same images, whatever their seed.

    Args:
        config: the config of the data.
        reporter: gets faults and notes.
        test: whether the test images are wanted.

    Returns:
        The three splits; None if there are no test images, or they are not wanted.

    Raises:
        InputError: a file is missing or damaged, or the splits do not fit together.
    """
    classes = read_classes(config.classes)
    if config.format in BUILT_IN:
        wanted = (TRAIN, VAL, TEST) if test else (TRAIN, VAL)
        sets = BUILT_IN[config.format].read(config, wanted, classes, reporter)
        splits = Splits(sets[TRAIN], sets.get(VAL), sets.get(TEST))
    else:
        splits = _checked(config.format, FORMATS.call(config.format, config, reporter.fault))
    had_labels = bool(splits.train.targets.any())
    splits = _with_same_classes(splits, classes, reporter)
    if had_labels and not splits.train.targets.any():
        reporter.fault("data.classes: no label is left in any training image; name the classes as the labels do")
    if config.drop_unlabelled:
        splits = Splits(_labelled(splits.train), *[images and _labelled(images) for images in splits[1:]])
    train, val, test_set = splits
    if val is not None and config.folds:
        raise InputError("data.folds: the data names validation images; leave out data.folds, or those images")
    if val is not None and not len(val):
        raise InputError("data.val_annotations: no image is left; give annotations with at least 1 image")
    if val is None:
        train, val = _held_out(train, config)
    if len(train) < 2:
        raise InputError(f"data.train_annotations: {len(train)} training images are left; at least 2 are needed")
    return train, val, test_set


def _with_same_classes(splits: Splits, classes: Classes | None, reporter: Reporter) -> Splits:
    """The splits with the classes of `data.classes`, or with those of train."""
    names, owner = (classes.names, "data.classes") if classes else (splits.train.class_names, TRAIN)

    def fit(split: str, images: ImageSet) -> ImageSet:
        return fit_classes(images, names, split=split, owner=owner, fixed=classes is not None, reporter=reporter)

    val, test = (images and fit(split, images) for split, images in zip((VAL, TEST), splits[1:], strict=True))
    return Splits(fit(TRAIN, splits.train), val, test)


def _held_out(train: ImageSet, config: DataConfig) -> tuple[ImageSet, ImageSet]:
    """The training images without the part for validation, and that part."""
    if config.folds:
        parts = stratified_parts(train.targets, [1 / config.folds] * config.folds)
        chosen = parts == config.fold
    elif config.holdout and len(train):
        chosen = stratified_parts(train.targets, [1 - config.holdout, config.holdout]) == 1
        if not chosen.any():
            chosen[np.random.default_rng(0).integers(len(train))] = True
    else:
        chosen = np.zeros(len(train), bool)
    return train.subset(np.flatnonzero(~chosen)), train.subset(np.flatnonzero(chosen))


def _checked(name: str, sets: Any) -> Splits:
    """The image sets of an extension's format, refused unless each fits together."""
    match sets:
        case (ImageSet(), ImageSet() | None) | (ImageSet(), ImageSet() | None, ImageSet() | None):
            splits = Splits(*sets)
        case _:
            raise InputError(
                f"data.format: '{name}' made no pair of ImageSets (the second may be None), nor three with test"
            )
    for images in filter(None, splits):
        shape = len(images.paths), len(images.class_names)
        for part, array in (("targets", images.targets), ("ignored", images.ignored)):
            if array is not None and np.shape(array) != shape:
                raise InputError(f"data.format: '{name}' made {part} of shape {np.shape(array)}, not {shape}")
    val, test = (images and _as_arrays(images) for images in splits[1:])
    return Splits(_as_arrays(splits.train), val, test)


def _as_arrays(images: ImageSet) -> ImageSet:
    """The same images; what a reader gave as lists becomes tuples and arrays."""
    ignored = None if images.ignored is None else np.asarray(images.ignored, bool)
    return ImageSet(tuple(images.paths), np.asarray(images.targets, np.uint8), tuple(images.class_names), ignored)


def _labelled(images: ImageSet) -> ImageSet:
    """The images with at least one label, certain or ignored."""
    labelled = images.targets.any(1)
    return images.subset(np.flatnonzero(labelled if images.ignored is None else labelled | images.ignored.any(1)))


def _require(config: DataConfig) -> None:
    """Refuse a config without a key that its format requires."""
    names = BUILT_IN[config.format].required
    values = {name: getattr(config, name) for name in names}
    missing = next((name for name, value in values.items() if not value), None)
    if missing:
        needs = " and ".join(f"data.{name}" for name in names)
        raise InputError(f"data.{missing}: not given; data.format {config.format} needs {needs}")


def _coco(config: DataConfig, split: str, reporter: Reporter) -> ImageSet:
    from decouplenet.data.annotations.coco import read_coco

    annotations, images = _places(config, split)
    key = f"data.{split}"
    return read_coco(annotations, images, crowd=config.crowd, key=key, suffix=config.suffix, reporter=reporter)


def _nuswide(config: DataConfig, split: str, reporter: Reporter) -> ImageSet:
    from decouplenet.data.annotations.nuswide import read_nuswide

    annotations, images = _places(config, split)
    test = split != TRAIN
    return read_nuswide(
        annotations, images, test=test, key=f"data.{split}", config=config, suffix=config.suffix, reporter=reporter
    )


def _voc(config: DataConfig, split: str, reporter: Reporter) -> ImageSet:
    from decouplenet.data.annotations.voc import CLASSES, read_voc

    annotations, images = _places(config, split)
    options: dict[str, Any] = {"difficult": config.difficult, "suffix": config.suffix, "reporter": reporter}
    read = read_voc(annotations, images, key=f"data.{split}", **options)
    if split == TRAIN and read.class_names == CLASSES and not read.targets.any(0).all():
        reporter.note("train: the classes are VOC's 20, as all labels are among them; data.classes can name fewer")
    return read


def _places(config: DataConfig, split: str) -> tuple[Any, Any]:
    """The annotations of a split, and the place of its images."""
    images = getattr(config, f"{split}_images") or config.train_images
    return getattr(config, f"{split}_annotations"), images


def _each(read: Callable[[DataConfig, str, Reporter], ImageSet]) -> Read:
    """The reader of a format that has annotations of its own for each split."""

    def read_all(
        config: DataConfig, wanted: Collection[str], classes: Classes | None, reporter: Reporter
    ) -> dict[str, ImageSet]:
        _require(config)
        given = [split for split in wanted if split == TRAIN or getattr(config, f"{split}_annotations")]
        return {split: read(config, split, reporter) for split in given}

    return read_all


def _nuswide_splits(
    config: DataConfig, wanted: Collection[str], classes: Classes | None, reporter: Reporter
) -> dict[str, ImageSet]:
    """NUS-WIDE's splits. A csv without a split column would give the same images for each."""
    sets = _each(_nuswide)(config, wanted, classes, reporter)
    if VAL in sets and sets[VAL].paths == sets[TRAIN].paths:
        raise InputError(
            f"data.val_annotations: '{shown(config.val_annotations or '')}' has no split column, so its images are "
            "the training images; add the column or give another file"
        )
    return sets


def _table(
    config: DataConfig, wanted: Collection[str], classes: Classes | None, reporter: Reporter
) -> dict[str, ImageSet]:
    _require(config)
    source = config.train_annotations or ""
    table = Table(source, key="data.train", config=config, classes=classes, reporter=reporter)
    options: dict[str, Any] = {"suffix": config.suffix, "reporter": reporter}
    sets = {TRAIN: table.images(config.train_images, splits=(TRAIN,), **options)}
    for split in (VAL, TEST):
        other = getattr(config, f"{split}_annotations")
        images = getattr(config, f"{split}_images") or config.train_images
        if split not in wanted or not (other or split in table.splits):
            continue
        its_table = table
        if other and other != source:
            key = f"data.{split}"
            its_table = Table(other, key=key, config=config, classes=classes, reading=table.reading, reporter=reporter)
        elif not table.splits:
            raise InputError(
                f"data.{split}_annotations: '{shown(other)}' is data.train_annotations, and has no split column; "
                "add the column or give another file"
            )
        its_split = TEST if split == VAL and VAL not in its_table.splits and TEST in its_table.splits else split
        if its_split != split:
            reporter.note(f"val: the rows of test are used for validation, because '{shown(other)}' has no val rows")
        sets[split] = its_table.images(images, splits=(its_split,), **options)
    if TEST in table.splits and not (config.val_annotations == source and VAL not in table.splits):
        kept = table.splits[TEST]
        reporter.note(f"test: {counted(kept, 'row')} {'is' if kept == 1 else 'are'} kept for evaluate --split test")
    return sets


def _synthetic(
    config: DataConfig, wanted: Collection[str], classes: Classes | None, reporter: Reporter
) -> dict[str, ImageSet]:
    from decouplenet.data.annotations.coco import read_coco
    from decouplenet.data.synthetic import ensure_scenes

    if config.train_annotations:
        raise InputError(FORMAT_MISSING)
    folder = ensure_scenes(config.cache, config.synthetic_images, config.synthetic_seed)
    return {
        split: read_coco(
            folder / f"instances_{split}.json", folder / "images", crowd=True, key="data", reporter=reporter
        )
        for split in (TRAIN, VAL)
    }


Read = Callable[[DataConfig, Collection[str], "Classes | None", Reporter], dict[str, ImageSet]]
"""Reads the wanted splits that the data names, by name. Train is always wanted."""


class Format(NamedTuple):
    """A label format of the project itself."""

    read: Read
    """Reads the images."""
    required: tuple[str, ...]
    """The fields of the config that it needs."""


BUILT_IN: dict[str, Format] = {
    "coco": Format(_each(_coco), ("train_annotations", "train_images")),
    "nuswide": Format(_nuswide_splits, ("train_annotations", "train_images")),
    "voc": Format(_each(_voc), ("train_annotations",)),
    "table": Format(_table, ("train_annotations",)),
    "synthetic": Format(_synthetic, ()),
}
