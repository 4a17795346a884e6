"""PASCAL VOC 2007 and 2012: an image list and an XML file an image, with objects marked difficult."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Place, image_folder, is_address, missing_of, place_of, read_lines, refuse, shown
from decouplenet.errors import InputError

_NAMES = """
aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant
sheep sofa train tvmonitor
"""
CLASSES = tuple(_NAMES.split())
"""VOC's 20 classes, in their order."""


def read_voc(
    annotations: Place,
    images: Place | None,
    *,
    difficult: str,
    key: str,
    classes: Sequence[str] | None = None,
    fault: Callable[[str], None] = refuse,
) -> ImageSet:
    """The images of a list such as `VOC2007/ImageSets/Main/trainval.txt`, or of all XML files of a folder.

    Args:
        annotations: the list, whose XML files are in `Annotations` two folders above or beside it; or their folder.
            They are many small files, and read from this machine only.
        images: the folder, or the address, of the images; None for `JPEGImages` beside `Annotations`.
        difficult: what an object marked difficult says of its class in an image that has no other one of it:
            `ignore` (neither there nor not there, as VOC's own evaluation), `positive` or `negative`.
        key: the config keys' beginning, for messages: `data.train` or `data.val`.
        classes: names of the classes; None for VOC's 20, or, where there are others, for those found, sorted.
        fault: told of each fault; if it returns, reading goes on without what is at fault.

    Raises:
        InputError: a file is missing or is not of that form.
    """
    if is_address(annotations):
        raise InputError(
            f"{key}_annotations: '{shown(annotations)}' is an address, and VOC's lists and XML files are read from a "
            "folder of this machine only; copy ImageSets and Annotations here (the images may stay at an address)"
        )
    folder, ids = _listed(Path(annotations).expanduser(), key)
    photos = image_folder(images or folder.parent / "JPEGImages", key, "the folder of the images")
    names, objects = [], []
    for each in ids:
        try:
            name, found = _read(folder / f"{each}.xml", each)
        except (OSError, ET.ParseError, ValueError) as error:
            fault(f"{key}_annotations: {folder / f'{each}.xml'}: cannot be read ({getattr(error, 'strerror', error)})")
            continue
        names.append(name)
        objects.append(found)
    seen = {label for found in objects for label, _ in found}
    classes = tuple(classes or (CLASSES if seen <= set(CLASSES) else sorted(seen)))
    column = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(names), len(classes)), np.uint8)
    unsure = np.zeros((len(names), len(classes)), bool)
    for i, found in enumerate(objects):
        for label, hard in found:
            if label not in column:
                fault(f"{key}_annotations: '{names[i]}' has an object '{label}', which is none of the classes")
            elif hard:
                unsure[i, column[label]] = True
            else:
                targets[i, column[label]] = 1
    unsure &= targets == 0
    if difficult == "positive":
        targets |= unsure.astype(np.uint8)
    paths = tuple(place_of(name, photos) for name in names)
    for text in missing_of(paths, f"{key}_images"):
        fault(text)
    return ImageSet(paths, targets, classes, unsure if difficult == "ignore" and unsure.any() else None)


def _listed(place: Path, key: str) -> tuple[Path, list[str]]:
    """The folder of the XML files, and the images' ids."""
    if place.is_dir():
        ids = sorted(file.stem for file in place.glob("*.xml"))
        if not ids:
            raise InputError(f"{key}_annotations: '{place}' has no XML file; give VOC's Annotations, or an image list")
        return place, ids
    if not place.is_file():
        raise InputError(f"{key}_annotations: no '{place}'; give VOC's ImageSets/Main/trainval.txt, or Annotations")
    lines = [line.split() for line in read_lines(place, f"{key}_annotations")]
    if wrong := next((number for number, line in enumerate(lines, start=1) if len(line) != 1), None):
        raise InputError(f"{place}:{wrong}: one image id a line is needed; lists of one class have two columns")
    above = [*place.absolute().parents][:3]
    folder = next((each / "Annotations" for each in above if (each / "Annotations").is_dir()), None)
    if folder is None:
        raise InputError(f"{key}_annotations: no folder 'Annotations' beside '{place}' or above it")
    return folder, [line[0] for line in lines]


def _read(file: Path, default: str) -> tuple[str, list[tuple[str, bool]]]:
    """The name of the image, and its objects: class, and whether it is marked difficult."""
    root = ET.parse(file).getroot()  # noqa: S314 - expat fetches nothing from outside and bounds what entities make
    objects = []
    for one in root.iter("object"):
        label = one.findtext("name")
        if not label:
            raise ValueError("an object has no name")
        objects.append((label.strip(), (one.findtext("difficult") or "0").strip() == "1"))
    return (root.findtext("filename") or "").strip() or f"{default}.jpg", objects
