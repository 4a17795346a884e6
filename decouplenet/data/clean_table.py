"""A data set written as a clean table: what was understood, so that a user can see it, correct it and use it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from decouplenet.atomic_files import replace_file
from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Place, is_address
from decouplenet.data.tables.columns import UNKNOWN_LABELS
from decouplenet.errors import InputError

SEPARATORS = ("|", ";", ",", "\t")
"""Signs to write between labels; the first that no class has."""


class CleanTable(NamedTuple):
    """What was written."""

    classes: Path
    """The file of the classes."""
    separator: str
    """The sign between labels."""
    images: int
    """Number of images."""


def write_clean_table(file: Path, sets: Mapping[str, ImageSet], unusable: Collection[Place]) -> CleanTable:
    """Write `path`, `labels`, `split`, and `unknown_labels` if some labels count neither way.

    The classes in their order are in a second file, for `data.classes`.

    Args:
        file: the csv to write.
        sets: the images by split.
        unusable: images to leave out.

    Raises:
        InputError: a file cannot be written, or images are inside of other files.
    """
    names = next(iter(sets.values())).class_names
    separator = next((sign for sign in SEPARATORS if not any(sign in name for name in names)), None)
    if separator is None:
        raise InputError(f"--fix: the names of the classes have all of {' '.join(SEPARATORS)}; rename a class")
    with_unknown = any(images.ignored is not None for images in sets.values())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "labels", "split", *[UNKNOWN_LABELS] * with_unknown])
    count = 0
    for split, images in sets.items():
        for i, place in enumerate(images.paths):
            if place in unusable:
                continue
            cells = [_text(place), separator.join(names[c] for c in images.targets[i].nonzero()[0]), split]
            if with_unknown:
                unknown = () if images.ignored is None else images.ignored[i].nonzero()[0]
                cells.append(separator.join(names[c] for c in unknown))
            writer.writerow(cells)
            count += 1
    classes = file.with_suffix(".classes.json")
    try:
        replace_file(file, text.getvalue())
        replace_file(classes, json.dumps(names, indent=1, ensure_ascii=False))
    except OSError as error:
        raise InputError(f"--fix: cannot write '{file}' ({error.strerror}); give another file") from None
    return CleanTable(classes, separator, count)


def _text(place: Place) -> str:
    if isinstance(place, Path):
        return str(place.absolute())
    if isinstance(place, str) and is_address(place):
        return place
    raise InputError("--fix: the images are inside of parquet or tar files, which a table of paths cannot name")
