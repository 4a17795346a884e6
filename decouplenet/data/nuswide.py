"""NUS-WIDE: its official lists, or the csv of paths, labels and split that is passed around.

The official download has `Concepts81.txt`, `ImageList/TrainImagelist.txt` and `TestImagelist.txt` (161,789 and 107,859
images), and a 0/1 a line for each concept in `TrainTestLabels/Labels_<concept>_Train.txt`, or, for the images of
`ImageList/Imagelist.txt`, in `AllLabels/Labels_<concept>.txt`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Place, image_folder, is_address, missing_of, place_of, read_lines, refuse, shown
from decouplenet.data.table import Table
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
"""Where the official files are, below the folder that is given."""
TABLES = (".csv", ".tsv", ".txt", ".gz", ".parquet")
"""How the name of a table ends; at an address, which is not asked what it is, nothing else tells."""


def read_nuswide(
    annotations: Place,
    images: Place,
    *,
    test: bool,
    key: str,
    columns: Mapping[str, Any] | None = None,
    fault: Callable[[str], None] = refuse,
) -> ImageSet:
    """The official training or test images, also those without a label.

    Args:
        annotations: the folder of the official lists, or a csv with paths, labels and, unless it has only the
            images meant, `split` (`train`, and `val` or `test` for the official test images); the csv may be at an
            address.
        images: the folder, or the address, that the paths are in.
        test: whether the test images are meant.
        key: the config keys' beginning, for messages: `data.train` or `data.val`.
        columns: what `Table` is told of the csv's columns.
        fault: told of each fault; if it returns, reading goes on without what is at fault.

    Raises:
        InputError: a file is missing, or the lists do not fit together.
    """
    folder = image_folder(images, key, "the folder of NUS-WIDE's images")
    if is_address(annotations) and not str(annotations).partition("?")[0].endswith(TABLES):
        raise InputError(
            f"{key}_annotations: '{shown(annotations)}' is no csv, and NUS-WIDE's official lists are read from a "
            "folder of this machine only; copy them here, or give a csv"
        )
    place = Path(annotations).expanduser()
    if is_address(annotations) or not place.is_dir():
        splits = ("val", "test") if test else ("train",)
        table = Table(annotations, key=key, **columns or {})
        return table.images(folder, splits=splits, classes=CONCEPTS, fault=fault)
    part = "Test" if test else "Train"
    concepts = read_lines(_file(place, "Concepts81.txt", key), key)
    listed = _names(read_lines(_file(place, f"{part}ImageList.txt", key), key))
    if _find(place, f"Labels_{concepts[0]}_{part}.txt"):
        labels = [_labels(_file(place, f"Labels_{each}_{part}.txt", key), len(listed), key) for each in concepts]
    else:
        everything = _names(read_lines(_file(place, "ImageList.txt", key), key))
        row = {name: i for i, name in enumerate(everything)}
        if unknown := [name for name in listed if name not in row]:
            raise InputError(f"{key}_annotations: '{unknown[0]}' of {part}Imagelist.txt is not in Imagelist.txt")
        at = [row[name] for name in listed]
        labels = [_labels(_file(place, f"Labels_{each}.txt", key), len(everything), key)[at] for each in concepts]
    paths = tuple(place_of(name, folder) for name in listed)
    for text in missing_of(paths, f"{key}_images"):
        fault(text)
    return ImageSet(paths, np.stack(labels, axis=1), tuple(concepts))


def _find(folder: Path, name: str) -> Path | None:
    """A file of the official download; some copies spell `Imagelist`, and some `ImageList`."""
    for sub in FOLDERS:
        for spelt in (name, name.replace("ImageList", "Imagelist")):
            if (folder / sub / spelt).is_file():
                return folder / sub / spelt
    return None


def _file(folder: Path, name: str, key: str) -> Path:
    found = _find(folder, name)
    if found is None:
        raise InputError(
            f"{key}_annotations: '{folder}' has no {name}, there or in {', '.join(FOLDERS[1:])}; "
            "give the folder of NUS-WIDE's official lists, or a csv"
        )
    return found


def _names(lines: list[str]) -> list[str]:
    """Paths, which the lists write with backslashes."""
    return [line.replace("\\", "/") for line in lines]


def _labels(file: Path, count: int, key: str) -> NDArray[np.uint8]:
    values = read_lines(file, key)
    if len(values) != count or not set(values) <= {"0", "1"}:
        raise InputError(f"{key}_annotations: {file} has {len(values)} lines; {count} of 0 or 1 are needed")
    return np.array(values, np.uint8)
