"""PASCAL VOC 2007 and 2012: an image list and one XML file per image, with objects that may be marked difficult."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.image_set import ImageSet, OnFault
from decouplenet.data.places import Place, image_folder, is_address, missing_files, place_of, read_lines, refuse, shown
from decouplenet.errors import InputError

_NAMES = """
aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant
sheep sofa train tvmonitor
"""
CLASSES = tuple(_NAMES.split())
"""VOC's 20 classes, in their order."""
Objects = list[tuple[str, bool]]
"""The objects of an image: class, and whether it is marked difficult."""


def read_voc(
    annotations: Place,
    images: Place | None,
    *,
    difficult: str,
    key: str,
    classes: Sequence[str] | None = None,
    on_fault: OnFault = refuse,
) -> ImageSet:
    """The images of a list such as `VOC2007/ImageSets/Main/trainval.txt`, or of all XML files in a folder.

    Args:
        annotations: the list, with its XML files in a folder `Annotations` beside it or up to two folders above; or
            the folder of the XML files. They must be on this machine, because they are many small files.
        images: the folder or address of the images; None for `JPEGImages` beside `Annotations`.
        difficult: the label of a class in an image where all its objects are marked difficult: `ignore` (the pair
            does not count, as in VOC's own evaluation), `positive` or `negative`.
        key: start of the config keys for messages: `data.train` or `data.val`.
        classes: names of the classes; None for VOC's 20 or, if the files have others, for their classes, sorted.
        on_fault: called with each fault; if it returns, reading continues without the faulty item.

    Raises:
        InputError: a file is missing or is not in VOC's format.
    """
    if is_address(annotations):
        raise InputError(
            f"{key}_annotations: '{shown(annotations)}' is an address, but VOC's lists and XML files must be in a "
            "folder of this machine; copy ImageSets and Annotations here (the images may stay at an address)"
        )
    folder, ids = _listed(Path(annotations).expanduser(), key)
    photos = image_folder(images or folder.parent / "JPEGImages", key, "the folder of the images")
    names, objects = _read_all(folder, ids, key, on_fault)
    labels = {label for image_objects in objects for label, _ in image_objects}
    classes = tuple(classes or (CLASSES if labels <= set(CLASSES) else sorted(labels)))
    targets, uncertain = _targets(names, objects, classes, key, on_fault)
    if difficult == "positive":
        targets |= uncertain.astype(np.uint8)
    paths = tuple(place_of(name, photos) for name in names)
    for text in missing_files(paths, f"{key}_images"):
        on_fault(text)
    return ImageSet(paths, targets, classes, uncertain if difficult == "ignore" and uncertain.any() else None)


def _targets(
    names: Sequence[str], objects: Sequence[Objects], classes: Sequence[str], key: str, on_fault: OnFault
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The labels N×C, and the pairs N×C of image and class that have only difficult objects."""
    column = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(names), len(classes)), np.uint8)
    uncertain = np.zeros((len(names), len(classes)), bool)
    for i, image_objects in enumerate(objects):
        for label, is_difficult in image_objects:
            if label not in column:
                on_fault(f"{key}_annotations: '{names[i]}' has an object '{label}', which is not one of the classes")
            elif is_difficult:
                uncertain[i, column[label]] = True
            else:
                targets[i, column[label]] = 1
    return targets, uncertain & (targets == 0)


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
        raise InputError(
            f"{place}:{wrong}: a line must have only an image id; give trainval.txt, not the list of a single class"
        )
    parents = [*place.absolute().parents][:3]
    folder = next((parent / "Annotations" for parent in parents if (parent / "Annotations").is_dir()), None)
    if folder is None:
        raise InputError(
            f"{key}_annotations: no folder 'Annotations' beside '{place}' or above it; put VOC's Annotations there"
        )
    return folder, [line[0] for line in lines]


def _read_all(folder: Path, ids: Sequence[str], key: str, on_fault: OnFault) -> tuple[list[str], list[Objects]]:
    """The names of the images and their objects. Images with an unreadable XML file are reported and skipped."""
    names, objects = [], []
    for image_id in ids:
        file = folder / f"{image_id}.xml"
        try:
            name, image_objects = _read(file, image_id)
        except (OSError, ET.ParseError, ValueError) as error:
            on_fault(f"{key}_annotations: {file}: cannot be read ({getattr(error, 'strerror', error)})")
            continue
        names.append(name)
        objects.append(image_objects)
    return names, objects


def _read(file: Path, image_id: str) -> tuple[str, Objects]:
    """The name of an image and its objects."""
    root = ET.parse(file).getroot()  # noqa: S314 - expat fetches nothing from outside and limits entity expansion
    objects = []
    for element in root.iter("object"):
        label = element.findtext("name")
        if not label:
            raise ValueError("an object has no name")
        objects.append((label.strip(), (element.findtext("difficult") or "0").strip() == "1"))
    return (root.findtext("filename") or "").strip() or f"{image_id}.jpg", objects
