"""COCO's `instances` format, read through pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.image_set import ImageSet, OnFault
from decouplenet.data.places import Place, image_folder, is_address, missing_files, place_of, read_bytes, refuse, shown
from decouplenet.errors import InputError, UnreadableError


def read_coco(annotations: Place, images: Place, *, crowd: bool, key: str, on_fault: OnFault = refuse) -> ImageSet:
    """All images in a COCO instances file, also those without an object. Classes are in the order of their ids.

    Args:
        annotations: the instances JSON, a file or an address.
        images: the folder or address of the images.
        crowd: whether an object marked `iscrowd` gives its image the label.
        key: start of the config keys for messages: `data.train` or `data.val`.
        on_fault: called with each fault; if it returns, reading continues without the faulty item.

    Raises:
        InputError: a file is missing or is not in COCO's format.
    """
    where = f"{key}_annotations: '{shown(annotations)}'"
    folder = image_folder(images, key, f"the folder of the images in '{shown(annotations)}'")
    content = _read(annotations, key)
    try:
        _check_ids(content, where, on_fault)
        coco = _index(content)
        category_ids = sorted(coco.cats)
        names = tuple(str(coco.cats[category]["name"]) for category in category_ids)
        for name, count in Counter(names).items():
            if count > 1:
                on_fault(f"{where} has {count} categories '{name}'; give each its own name")
        paths = tuple(place_of(image["file_name"], folder) for image in coco.imgs.values())
        targets = _targets(coco, category_ids, crowd, where, on_fault)
    except InputError:
        raise
    except KeyError as error:
        raise InputError(
            f"{where} lacks the key {error}; it must have images (id, file_name), annotations (image_id, category_id) "
            "and categories (id, name)"
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{where} is not a COCO instances JSON ({error})") from None
    if not paths or not names:
        raise InputError(f"{where} lists {len(paths)} images and {len(names)} classes; at least 1 of each is needed")
    for text in missing_files(paths, f"{key}_images"):
        on_fault(text)
    return ImageSet(paths, targets, names)


def _check_ids(content: Any, where: str, on_fault: OnFault) -> None:
    """Report ids that several images or several categories share."""
    for kind, name in (("images", "file_name"), ("categories", "name")):
        for repeated, count in Counter(entry["id"] for entry in content[kind]).items():
            if count > 1:
                entries = ", ".join(shown(entry[name]) for entry in content[kind] if entry["id"] == repeated)
                on_fault(f"{where} has id {repeated} {count} times among its {kind}: {entries}; make the ids unique")


def _index(content: Any) -> Any:
    """The index that pycocotools makes of a file's content."""
    from pycocotools.coco import COCO

    for number, annotation in enumerate(content["annotations"]):
        annotation["id"] = number  # pycocotools indexes by id, and ids repeat in merged files
    coco = COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco.createIndex()
    return coco


def _targets(coco: Any, category_ids: list[int], crowd: bool, where: str, on_fault: OnFault) -> NDArray[np.uint8]:
    """The labels N×C. Annotations of an unknown image or category are reported and skipped."""
    column = {category: i for i, category in enumerate(category_ids)}
    row = {image: i for i, image in enumerate(coco.imgs)}
    targets = np.zeros((len(row), len(column)), np.uint8)
    for number, annotation in enumerate(coco.dataset["annotations"], start=1):
        image, category = annotation["image_id"], annotation["category_id"]
        unknown = [f"image id {image}"] if image not in row else []
        unknown += [f"category id {category}"] if category not in column else []
        for reference in unknown:
            file = f" (image '{shown(coco.imgs[image]['file_name'])}')" if image in row else ""
            on_fault(f"{where}: annotation {number}{file} uses {reference}, which the file does not define")
        if not unknown and (crowd or not int(annotation.get("iscrowd") or 0)):
            targets[row[image], column[category]] = 1
    return targets


def boxes_outside(annotations: Place, key: str) -> list[str]:
    """Faults of boxes that have no area or reach more than a pixel outside their image. Training does not use boxes.

    Args:
        annotations: an instances JSON that `read_coco` can read.
        key: as for `read_coco`.
    """
    content: dict[str, Any] = _read(annotations, key)
    images = {image["id"]: image for image in content["images"]}
    faults = []
    for number, annotation in enumerate(content["annotations"], start=1):
        box, image = annotation.get("bbox"), images.get(annotation.get("image_id"))
        if not box or image is None:
            continue
        which = f"{key}_annotations: the box {box} of annotation {annotation.get('id', number)} of image"
        which = f"{which} '{shown(image['file_name'])}'"
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            faults.append(f"{which} is not [x, y, width, height]")
            continue
        x, y, width, height = box
        size = [image.get("width"), image.get("height")]
        beyond = [-x, -y] + ([x + width - size[0], y + height - size[1]] if all(map(_is_number, size)) else [])
        if max(beyond) > 1 or width <= 0 or height <= 0:
            faults.append(f"{which} is empty or reaches outside the image ({size[0]}×{size[1]} pixels)")
    return faults


def _read(annotations: Place, key: str) -> Any:
    """The parsed content of a JSON file."""
    name = f"'{shown(annotations)}'"
    file = annotations if is_address(annotations) else Path(annotations).expanduser()
    if isinstance(file, Path) and not file.is_file():
        raise InputError(f"{key}_annotations: no file {name}; give a COCO instances JSON")
    try:
        return json.loads(read_bytes(file))
    except OSError as error:
        reason = error.strerror or error
        advice = "give a COCO instances JSON"
        raise UnreadableError(f"{key}_annotations: {name} cannot be read ({reason}); {advice}") from None
    except ValueError as error:
        hint = "; --data.format table reads a csv or parquet" if str(file).endswith((".csv", ".parquet")) else ""
        raise InputError(f"{key}_annotations: {name} is not a COCO instances JSON ({error}){hint}") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
