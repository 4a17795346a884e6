"""COCO's `instances` form, read through pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Place, image_folder, is_address, missing_of, place_of, read_bytes, refuse, shown
from decouplenet.errors import InputError


def read_coco(
    annotations: Place, images: Place, *, crowd: bool, key: str, fault: Callable[[str], None] = refuse
) -> ImageSet:
    """All images that a COCO instances file lists, also those with no object; classes in category-id order.

    Args:
        annotations: the instances JSON, a file or an address.
        images: the folder, or the address, that its `file_name`s are in.
        crowd: whether an object marked `iscrowd` gives its image the label.
        key: the config keys' beginning, for messages: `data.train` or `data.val`.
        fault: told of each fault; if it returns, reading goes on without what is at fault.

    Raises:
        InputError: a file is missing or is not in COCO's form.
    """
    from pycocotools.coco import COCO

    where = f"{key}_annotations: '{shown(annotations)}'"
    folder = image_folder(images, key, f"the folder of the images in '{shown(annotations)}'")
    content = _read(annotations, key)
    try:
        labels = content["annotations"]
        for kind, name in (("images", "file_name"), ("categories", "name")):
            for repeated, times in Counter(entry["id"] for entry in content[kind]).items():
                if times > 1:
                    of = ", ".join(shown(entry[name]) for entry in content[kind] if entry["id"] == repeated)
                    fault(f"{where} has id {repeated} {times} times among its {kind}: {of}")
        for number, annotation in enumerate(labels):
            annotation["id"] = number  # pycocotools indexes by it; files that were merged repeat theirs
        coco = COCO()
        coco.dataset = content
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            coco.createIndex()
        category_ids = sorted(coco.cats)
        column = {category: i for i, category in enumerate(category_ids)}
        row = {image: i for i, image in enumerate(coco.imgs)}
        names = tuple(str(coco.cats[category]["name"]) for category in category_ids)
        for name, times in Counter(names).items():
            if times > 1:
                fault(f"{where} has {times} categories '{name}'")
        paths = tuple(place_of(image["file_name"], folder) for image in coco.imgs.values())
        targets = np.zeros((len(row), len(column)), np.uint8)
        for number, annotation in enumerate(labels, start=1):
            at = [("image", annotation["image_id"], row), ("category", annotation["category_id"], column)]
            unknown = [f"{kind} id {one}" for kind, one, known in at if one not in known]
            for one in unknown:
                of = f"{key}_annotations: annotation {number} of '{shown(annotations)}'"
                if annotation["image_id"] in row:
                    of += f", of image '{shown(coco.imgs[annotation['image_id']]['file_name'])}',"
                fault(f"{of} uses {one}, which it does not define")
            if not unknown and (crowd or not int(annotation.get("iscrowd") or 0)):
                targets[row[annotation["image_id"]], column[annotation["category_id"]]] = 1
    except InputError:
        raise
    except KeyError as error:
        raise InputError(
            f"{where} has no {error} where one is needed; "
            "it must have images (id, file_name), annotations (image_id, category_id) and categories (id, name)"
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{where} is not a COCO instances JSON ({error})") from None
    if not paths or not names:
        raise InputError(f"{where} lists {len(paths)} images and {len(names)} classes")
    for text in missing_of(paths, f"{key}_images"):
        fault(text)
    return ImageSet(paths, targets, names)


def boxes_outside(annotations: Place, key: str) -> list[str]:
    """What to say of boxes that are more than a pixel outside their image, or have no area; a run does not use them.

    Args:
        annotations: an instances JSON that `read_coco` reads.
        key: as there.
    """
    content: dict[str, Any] = _read(annotations, key)
    images = {image["id"]: image for image in content["images"]}
    found = []
    for number, annotation in enumerate(content["annotations"], start=1):
        box, image = annotation.get("bbox"), images.get(annotation.get("image_id"))
        if not box or image is None:
            continue
        of = f"{key}_annotations: the box {box} of annotation {annotation.get('id', number)} of image"
        of = f"{of} '{shown(image['file_name'])}'"
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            found.append(f"{of} is not [x, y, width, height]")
            continue
        x, y, width, height = box
        size = [image.get("width"), image.get("height")]
        beyond = [-x, -y] + ([x + width - size[0], y + height - size[1]] if all(map(_is_number, size)) else [])
        if max(beyond) > 1 or width <= 0 or height <= 0:
            found.append(f"{of} is not in it ({size[0]}×{size[1]} pixels)")
    return found


def _read(annotations: Place, key: str) -> Any:
    """What an instances JSON has, in whatever form."""
    name = f"'{shown(annotations)}'"
    file = annotations if is_address(annotations) else Path(annotations).expanduser()
    if isinstance(file, Path) and not file.is_file():
        raise InputError(f"{key}_annotations: no file {name}; give a COCO instances JSON")
    try:
        return json.loads(read_bytes(file))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{key}_annotations: {name} cannot be read ({reason}); give a COCO instances JSON") from None
    except ValueError as error:
        raise InputError(f"{key}_annotations: {name} is not a COCO instances JSON ({error})") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
