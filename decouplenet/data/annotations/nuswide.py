"""NUS-WIDE: its official lists, or the widely used csv of paths, labels and split.

The official download has `Concepts81.txt`, `ImageList/TrainImagelist.txt` and `TestImagelist.txt` (161,789 and 107,859
images). Each concept has a label file with one 0 or 1 per image: `TrainTestLabels/Labels_<concept>_Train.txt` and
`..._Test.txt`, or `AllLabels/Labels_<concept>.txt` for the images of `ImageList/Imagelist.txt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decouplenet.config import DataConfig
from decouplenet.data.annotations.nuswide_numbers import note_differences
from decouplenet.data.classes import fit_classes
from decouplenet.data.image_names import image_places
from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Source, image_folder, is_address, read_lines, shown
from decouplenet.data.reporter import STRICT, Reporter
from decouplenet.data.tables.table import Table
from decouplenet.errors import InputError

_NAMES = """
airport animal beach bear birds boats book bridge buildings cars castle cat cityscape clouds computer coral
cow dancing dog earthquake elk fire fish flags flowers food fox frost garden glacier grass harbor horses house
lake leaf map military moon mountain nighttime ocean person plane plants police protest railroad rainbow
reflection road rocks running sand sign sky snow soccer sports statue street sun sunset surf swimmers tattoo
temple tiger tower town toy train tree valley vehicle water waterfall wedding whales window zebra
"""
CONCEPTS = tuple(_NAMES.split())
"""The 81 concepts, in the order of the official list."""
FOLDERS = (
    "",
    "ConceptsList",
    "ImageList",
    "TrainTestLabels",
    "AllLabels",
    "Groundtruth/TrainTestLabels",
    "Groundtruth/AllLabels",
)
"""Subfolders that may hold the official files."""
TABLES = (".csv", ".tsv", ".txt", ".gz", ".parquet")
"""Suffixes of tables. An address without any of them is taken for a folder."""


def read_nuswide(
    annotations: Source,
    images: Source,
    *,
    test: bool,
    key: str,
    config: DataConfig | None = None,
    suffix: str | None = None,
    reporter: Reporter = STRICT,
) -> ImageSet:
    """The official training or test images, also those without a label.

    Args:
        annotations: the folder of the official lists; or a csv, also at an address, with paths, labels and `split`
            (`train`, and `val` or `test` for the official test images). The csv may lack `split` if all its images
            are wanted.
        images: the folder or address of the images.
        test: True for the test images, False for the training images.
        key: start of the config keys for messages: `data.train` or `data.val`.
        config: how the csv is read; None for the defaults.
        suffix: `data.suffix`.
        reporter: gets faults and notes.

    Raises:
        InputError: a file is missing, or the lists do not fit together.
    """
    folder = image_folder(images, key, "the folder of NUS-WIDE's images")
    if is_address(annotations) and not str(annotations).partition("?")[0].endswith(TABLES):
        raise InputError(
            f"{key}_annotations: '{shown(annotations)}' is not a csv, and NUS-WIDE's official lists must be in a "
            "folder of this machine; copy them here, or give a csv"
        )
    place = Path(annotations).expanduser()
    if is_address(annotations) or not place.is_dir():
        splits = ("val", "test") if test else ("train",)
        labelled = _from_table(annotations, folder, splits, key, config or DataConfig(), suffix, reporter)
        split = key.removeprefix("data.")
        result = fit_classes(labelled, CONCEPTS, split=split, owner="NUS-WIDE", fixed=False, reporter=reporter)
    else:
        concepts = read_lines(_file(place, "Concepts81.txt", key), key)
        names, targets = _official_labels(place, concepts, "Test" if test else "Train", key)
        paths = image_places(names, folder, key=key, suffix=suffix, reporter=reporter)
        result = ImageSet(paths, targets, tuple(concepts))
    where = f"{key}_annotations: '{shown(annotations)}'"
    note_differences(result, test=test, where=where, reporter=reporter)
    return result


def _from_table(
    annotations: Source,
    folder: Source,
    splits: Sequence[str],
    key: str,
    config: DataConfig,
    suffix: str | None,
    reporter: Reporter,
) -> ImageSet:
    """The images of a csv. No concept has a blank, so blanks separate concepts even where few rows show it."""
    faults, notes = list[str](), list[str]()
    own = Reporter(faults.append, notes.append)
    table = Table(annotations, key=key, config=config, reporter=own)
    images = table.images(folder, splits=splits, suffix=suffix, reporter=own)
    if table.reading.separator is None and any(" " in name for name in images.class_names):
        faults.clear()
        notes.clear()
        table = Table(annotations, key=key, config=replace(config, label_separator=" "), reporter=own)
        images = table.images(folder, splits=splits, suffix=suffix, reporter=own)
    for say, messages in ((reporter.fault, faults), (reporter.note, notes)):
        for message in messages:
            say(message)
    return images


def _official_labels(folder: Path, concepts: list[str], split: str, key: str) -> tuple[list[str], NDArray[np.uint8]]:
    """The names and labels N×C of the images of a split, from the split's label files or those of all images."""
    names = _names(read_lines(_file(folder, f"{split}ImageList.txt", key), key))
    if _find(folder, f"Labels_{concepts[0]}_{split}.txt"):
        files = [_file(folder, f"Labels_{concept}_{split}.txt", key) for concept in concepts]
        return names, np.stack([_labels(file, len(names), key) for file in files], axis=1)
    all_names = _names(read_lines(_file(folder, "ImageList.txt", key), key))
    row = {name: i for i, name in enumerate(all_names)}
    if unknown := [name for name in names if name not in row]:
        raise InputError(
            f"{key}_annotations: '{unknown[0]}' of {split}Imagelist.txt is not in Imagelist.txt; "
            "give lists of the same download"
        )
    rows = [row[name] for name in names]
    files = [_file(folder, f"Labels_{concept}.txt", key) for concept in concepts]
    return names, np.stack([_labels(file, len(all_names), key)[rows] for file in files], axis=1)


def _find(folder: Path, name: str) -> Path | None:
    """A file of the official download. Some copies spell `Imagelist`, others `ImageList`."""
    for subfolder in FOLDERS:
        for spelling in (name, name.replace("ImageList", "Imagelist")):
            if (folder / subfolder / spelling).is_file():
                return folder / subfolder / spelling
    return None


def _file(folder: Path, name: str, key: str) -> Path:
    file = _find(folder, name)
    if file is None:
        raise InputError(
            f"{key}_annotations: '{folder}' has no {name}, there or in {', '.join(FOLDERS[1:])}; "
            "give the folder of NUS-WIDE's official lists, or a csv"
        )
    return file


def _names(lines: list[str]) -> list[str]:
    """The paths in a list, which writes them with backslashes, with slashes."""
    return [line.replace("\\", "/") for line in lines]


def _labels(file: Path, count: int, key: str) -> NDArray[np.uint8]:
    values = read_lines(file, key)
    if len(values) != count or not set(values) <= {"0", "1"}:
        raise InputError(f"{key}_annotations: {file} has {len(values)} lines; {count} of 0 or 1 are needed")
    return np.array(values, np.uint8)
