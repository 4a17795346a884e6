"""PASCAL VOC 2007 and 2012: an image list and one XML file per image, with objects that may be marked difficult."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.annotations.voc_list import annotations_folder, xml_files
from decouplenet.data.annotations.voc_xml import VocFile, VocObject, read_voc_xml
from decouplenet.data.classes import note_similar
from decouplenet.data.image_names import image_places, suffix_of
from decouplenet.data.image_set import ImageSet
from decouplenet.data.name_readings import Finder
from decouplenet.data.places import Place, Source, image_folder, is_address, shown
from decouplenet.data.reporter import STRICT, Reporter
from decouplenet.data.tables.cells import NO_CLASS
from decouplenet.errors import InputError
from decouplenet.image_suffixes import split_suffix
from decouplenet.wording import counted, examples

_NAMES = """
aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant
sheep sofa train tvmonitor
"""
CLASSES = tuple(_NAMES.split())
"""VOC's 20 classes, in their order."""


def read_voc(
    annotations: Source,
    images: Source | None,
    *,
    difficult: str,
    key: str,
    suffix: str | None = None,
    reporter: Reporter = STRICT,
) -> ImageSet:
    """The images of a list such as `VOC2007/ImageSets/Main/trainval.txt`, or of all XML files in a folder.

    The classes are VOC's 20 or, if the files have others, the files' classes, sorted.

    Args:
        annotations: the list, with its XML files in a folder `Annotations` beside it or up to two folders above; or
            the folder of the XML files. They must be on this machine, because they are many small files.
        images: the folder or address of the images; None for `JPEGImages` beside `Annotations`.
        difficult: the label of a class in an image where all its objects are marked difficult: `ignore` (the pair
            does not count, as in VOC's own evaluation), `positive` or `negative`.
        key: start of the config keys for messages: `data.train`, `data.val` or `data.test`.
        suffix: `data.suffix`.
        reporter: gets faults and notes.

    Raises:
        InputError: a file is missing or is not in VOC's format.
    """
    if is_address(annotations):
        raise InputError(
            f"{key}_annotations: '{shown(annotations)}' is an address, but VOC's lists and XML files must be in a "
            "folder of this machine; copy ImageSets and Annotations here (the images may stay at an address)"
        )
    place = Path(annotations).expanduser()
    where = f"{key}_annotations: '{place}'"
    folder = annotations_folder(place, key)
    photos = image_folder(images or folder.parent / "JPEGImages", key, "the folder of the images")
    ids, files = _read_all(folder, xml_files(place, folder, photos, key, reporter), key, reporter)
    objects = _without_missing(files, where, reporter)
    labels = {label for image_objects in objects for label, _ in image_objects}
    classes = CLASSES if labels <= set(CLASSES) else tuple(sorted(labels))
    note_similar(classes, where, reporter)
    if not labels:
        reporter.fault(f"{where} has no label in any image; its XML files have no object")
    targets, uncertain = _targets(objects, classes)
    if difficult == "positive":
        targets |= uncertain.astype(np.uint8)
    end = suffix_of(suffix) or ".jpg"
    names = [file.filename or f"{image_id}{end}" for image_id, file in zip(ids, files, strict=True)]
    paths = image_places(names, photos, key=key, suffix=suffix, reporter=reporter, stems=ids)
    _refuse_contradictions(ids, files, paths, photos, key, reporter)
    return ImageSet(paths, targets, classes, uncertain if difficult == "ignore" and uncertain.any() else None)


def _read_all(folder: Path, names: Sequence[str], key: str, reporter: Reporter) -> tuple[list[str], list[VocFile]]:
    """The ids and contents of the XML files. Those that cannot be read are reported and left out."""
    ids, files = [], []
    wrong: dict[str, list[Path]] = {}
    for name in names:
        file = folder / name
        try:
            content = read_voc_xml(file)
        except (OSError, ValueError) as error:
            reporter.fault(f"{key}_annotations: {file}: cannot be read ({getattr(error, 'strerror', error)})")
            continue
        ids.append(split_suffix(name)[0])
        files.append(content)
        if content.wrong_encoding is not None:
            wrong.setdefault(content.wrong_encoding, []).append(file)
    for encoding, places in wrong.items():
        verb = "is" if len(places) == 1 else "are"
        reporter.note(
            f"{key}_annotations: {counted(len(places), 'XML file')} {verb} not in the encoding '{encoding}' that the "
            f"first line declares, and {verb} read as Unicode: {examples(places)}"
        )
    return ids, files


def _without_missing(files: Sequence[VocFile], where: str, reporter: Reporter) -> list[list[VocObject]]:
    """The objects of the files without those whose class is a word for a missing value."""
    words = Counter(label for file in files for label, _ in file.objects if label.lower() in NO_CLASS)
    if words:
        listed = ", ".join(f"'{word}' ({counted(count, 'object')})" for word, count in sorted(words.items()))
        reporter.note(f"{where}: {listed} is no class, and is left out")
    return [[an_object for an_object in file.objects if an_object.label not in words] for file in files]


def _targets(
    objects: Sequence[Sequence[VocObject]], classes: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The labels N×C, and the pairs N×C of image and class that have only difficult objects."""
    column = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(objects), len(classes)), np.uint8)
    uncertain = np.zeros((len(objects), len(classes)), bool)
    for i, image_objects in enumerate(objects):
        for label, is_difficult in image_objects:
            if is_difficult:
                uncertain[i, column[label]] = True
            else:
                targets[i, column[label]] = 1
    return targets, uncertain & (targets == 0)


def _refuse_contradictions(
    ids: Sequence[str], files: Sequence[VocFile], places: Sequence[Place], photos: Source, key: str, reporter: Reporter
) -> None:
    """Report XML files that name another image than their own name does, if both images are there."""
    finder = Finder(str(photos))  # at an address, it finds nothing
    contradictions = []
    for image_id, file, place in zip(ids, files, places, strict=True):
        folder, _, stem = finder.path(image_id).rpartition("/")
        others = finder.listing(folder).images_with_stem(stem)
        is_other = file.filename and others and shown(place) not in [f"{folder}/{name}" for name in others]
        if is_other and finder.exists(shown(place)):
            contradictions.append(f"'{image_id}.xml' has <filename> {file.filename!r}, beside {others[0]!r}")
    if contradictions:
        count = f"{len(contradictions)} XML files name" if len(contradictions) > 1 else "1 XML file names"
        reporter.fault(
            f"{key}_annotations: {count} another image than the one that is called like the XML file, and both are "
            f"there: {examples(contradictions)}; correct or remove <filename>"
        )
