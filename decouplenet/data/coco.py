"""COCO's `instances` form, read through pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np

from decouplenet.data.image_set import ImageSet
from decouplenet.errors import InputError


def read_coco(annotations: str | Path, images: str | Path, *, crowd: bool, key: str) -> ImageSet:
    """All images that a COCO instances file lists, also those with no object; classes in category-id order.

    Args:
        annotations: the instances JSON.
        images: the folder that its `file_name`s are in.
        crowd: whether an object marked `iscrowd` gives its image the label.
        key: the config keys' beginning, for messages: `data.train` or `data.val`.

    Raises:
        InputError: a file is missing or is not in COCO's form.
    """
    from pycocotools.coco import COCO

    file, folder = Path(annotations).expanduser(), Path(images).expanduser()
    if not file.is_file():
        raise InputError(f"{key}_annotations: no file '{annotations}'; give a COCO instances JSON")
    if not folder.is_dir():
        raise InputError(f"{key}_images: no folder '{images}'; give the folder of the images in {file.name}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        labels = content["annotations"]
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
        paths = tuple(folder / image["file_name"] for image in coco.imgs.values())
        targets = np.zeros((len(row), len(column)), np.uint8)
        for annotation in labels:
            if crowd or not annotation.get("iscrowd", 0):
                targets[row[annotation["image_id"]], column[annotation["category_id"]]] = 1
    except KeyError as error:
        raise InputError(
            f"{key}_annotations: '{annotations}' uses {error}, which it does not define; "
            "it must have images (id, file_name), annotations (image_id, category_id) and categories (id, name)"
        ) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{key}_annotations: '{annotations}' is not a COCO instances JSON ({error})") from None
    for kind, indexed in (("images", coco.imgs), ("categories", coco.cats)):
        if len(indexed) != len(content.get(kind, [])):
            repeated = Counter(entry["id"] for entry in content[kind]).most_common(1)[0][0]
            raise InputError(f"{key}_annotations: '{annotations}' has id {repeated} more than once among its {kind}")
    if not paths or not names:
        raise InputError(f"{key}_annotations: '{annotations}' lists {len(paths)} images and {len(names)} classes")
    _refuse_missing(paths, folder, key)
    return ImageSet(paths, targets, names)


def _refuse_missing(paths: tuple[Path, ...], folder: Path, key: str) -> None:
    """Find images that are not there by listing each folder once, not by asking for each file."""
    there: dict[Path, set[str]] = {}
    missing = []
    for path in paths:
        if path.parent not in there:
            there[path.parent] = {file.name for file in path.parent.iterdir()} if path.parent.is_dir() else set()
        if path.name not in there[path.parent]:
            missing.append(path.name)
    if missing:
        raise InputError(
            f"{key}_images: {len(missing)} of {len(paths)} images are not in '{folder}', the first is '{missing[0]}'"
        )
