"""COCO's `instances` format, read through pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.annotations.coco_file import CocoFile, Entry, as_json, is_finite, read_coco_file
from decouplenet.data.classes import note_similar
from decouplenet.data.image_names import image_places
from decouplenet.data.image_set import ImageSet
from decouplenet.data.name_readings import spellings
from decouplenet.data.places import Place, Source, image_folder, shown
from decouplenet.data.reporter import STRICT, Reporter, ignore
from decouplenet.data.tables.cells import NO_CLASS
from decouplenet.data.tables.flags import ABSENT, PRESENT, flag_word
from decouplenet.errors import InputError
from decouplenet.wording import examples

OUTSIDE = 2
"""Pixels by which a box may reach outside its image: exporters round, and some count from 1."""


def read_coco(
    annotations: Source,
    images: Source,
    *,
    crowd: bool,
    key: str,
    suffix: str | None = None,
    reporter: Reporter = STRICT,
) -> ImageSet:
    """All images in a COCO instances file, also those without an object. Classes are in the order of their ids.

    Args:
        annotations: the instances JSON, a file or an address.
        images: the folder or address of the images.
        crowd: whether an object marked `iscrowd` gives its image the label.
        key: start of the config keys for messages: `data.train`, `data.val` or `data.test`.
        suffix: `data.suffix`.
        reporter: gets faults and notes.

    Raises:
        InputError: a file is missing or is not in COCO's format.
    """
    where = f"{key}_annotations: '{shown(annotations)}'"
    folder = image_folder(images, key, f"the folder of the images in '{shown(annotations)}'")
    content = read_coco_file(annotations, key, reporter)
    if not content.images or not content.categories:
        raise InputError(
            f"{where} lists {len(content.images)} images and {len(content.categories)} classes; at least 1 of each is "
            "needed"
        )
    coco = _index(content)
    names = _class_names([coco.cats[category] for category in sorted(coco.cats, key=_order)], where, reporter)
    paths = image_places(
        [image["file_name"] for image in coco.imgs.values()], folder, key=key, suffix=suffix, reporter=reporter
    )
    targets = _targets(coco, names, crowd, where, reporter)
    if not targets.any():
        advice = "correct 'annotations'" if content.annotations else "give a file with 'annotations'"
        reporter.fault(f"{where} has no label in any image; {advice}")
    return ImageSet(paths, targets, tuple(dict.fromkeys(names.values())))


def _index(content: CocoFile) -> Any:
    """The index that pycocotools makes of a file's content."""
    from pycocotools.coco import COCO

    for number, annotation in enumerate(content.annotations):
        annotation["id"] = number  # pycocotools indexes by id, and ids repeat in merged files
    coco = COCO()
    coco.dataset = {"images": content.images, "categories": content.categories, "annotations": content.annotations}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco.createIndex()
    return coco


def _order(category: Any) -> tuple[int, int | float, str]:
    """The key to sort ids of categories: numbers, also those that are written as text, before other texts."""
    if not isinstance(category, str):
        return 0, category, ""
    return (0, int(category), category) if category.isdecimal() and category.isascii() else (1, 0, category)


def _class_names(categories: Sequence[Entry], where: str, reporter: Reporter) -> dict[Any, str]:
    """The class of each category, by id. Categories whose names differ only by blanks are one class."""
    names = {category["id"]: " ".join(category["name"].split()) for category in categories}
    written: dict[str, list[str]] = {}
    for category in categories:
        written.setdefault(names[category["id"]], []).append(category["name"])
    for name, variants in written.items():
        if len(set(variants)) < len(variants):
            reporter.fault(f"{where} has {len(variants)} categories '{name}'; give each its own name")
        elif len(variants) > 1:
            listed = ", ".join(map(repr, variants))
            reporter.note(f"{where}: the categories {listed} differ only by blanks, and are one class")
    if changed := [repr(category["name"]) for category in categories if category["name"] != names[category["id"]]]:
        count = f"{len(changed)} names of categories" if len(changed) > 1 else "1 name of a category"
        reporter.note(f"{where}: line breaks and outer blanks in {count} are left out: {examples(changed)}")
    if words := [f"'{name}'" for name in written if name.lower() in NO_CLASS]:
        classes = "is read as a class" if len(words) == 1 else "are read as classes"
        reporter.note(f"{where}: {examples(words)} {classes}, but may stand for a missing name")
    note_similar(list(written), where, reporter)
    return names


def _targets(coco: Any, names: Mapping[Any, str], crowd: bool, where: str, reporter: Reporter) -> NDArray[np.uint8]:
    """The labels N×C."""
    column = {name: i for i, name in enumerate(dict.fromkeys(names.values()))}
    row = {image: i for i, image in enumerate(coco.imgs)}
    targets = np.zeros((len(row), len(column)), np.uint8)
    for annotation in coco.dataset["annotations"]:
        mark = annotation.get("iscrowd")
        word = flag_word(mark) if mark else ""
        if word not in PRESENT | ABSENT | {""}:
            image = shown(coco.imgs[annotation["image_id"]]["file_name"])
            reporter.fault(f"{where}: an annotation of image '{image}' has iscrowd {word!r}; write 0 or 1")
        if crowd or word not in PRESENT:
            targets[row[annotation["image_id"]], column[names[annotation["category_id"]]]] = 1
    return targets


def boxes_outside(annotations: Source, key: str, upright: Mapping[Place, tuple[int, int]] | None = None) -> list[str]:
    """Messages about boxes that have no area or reach outside their image by more than 2 pixels. No run uses boxes.

    Args:
        annotations: an instances JSON that `read_coco` can read.
        key: as for `read_coco`.
        upright: width and height of the images that EXIF turns. They replace those of the JSON.
    """
    content = read_coco_file(annotations, key, Reporter(ignore, ignore))
    images = {image["id"]: image for image in content.images}
    sizes = _sizes(content.images, upright or {})
    messages = []
    for annotation in content.annotations:
        box, image = annotation.get("bbox"), images[annotation["image_id"]]
        if not box:
            continue
        if problem := _problem_of(box, sizes[image["id"]]):
            which = f"the box {as_json(box)} of annotation {as_json(annotation['id'])} of image"
            messages.append(f"{key}_annotations: {which} '{shown(image['file_name'])}' {problem}")
    return messages


def _problem_of(box: Any, size: tuple[float, float] | None) -> str:
    """What is wrong with a box, as the end of a sentence; empty if nothing is."""
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_finite, box))):
        return "is not [x, y, width, height]"
    x, y, width, height = box
    beyond = max(-x, -y, *((x + width - size[0], y + height - size[1]) if size else ()))
    if beyond <= OUTSIDE and width > 0 and height > 0:
        return ""
    return "is empty or reaches outside the image" + (f" ({size[0]}×{size[1]} pixels)" if size else "")


def _sizes(images: Sequence[Entry], upright: Mapping[Place, tuple[int, int]]) -> dict[Any, tuple[float, float] | None]:
    """Width and height of the images, by id; None where they are not known."""
    by_end: dict[str, tuple[int, int]] = {}
    for place, turned in upright.items():
        parts = shown(place).split("/")
        by_end |= {"/".join(parts[start:]): turned for start in range(len(parts))}
    sizes: dict[Any, tuple[float, float] | None] = {}
    for image in images:
        stated: Any = image.get("width"), image.get("height")
        ends: Iterator[Any] = (
            by_end[text] for text in (spellings(image["file_name"]) if by_end else ()) if text in by_end
        )
        sizes[image["id"]] = next(ends, stated if all(map(is_finite, stated)) else None)
    return sizes
