"""Read a data set before money is spent on it: what would stop a run or falsify its figures, and what is in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from decouplenet.config import DataConfig
from decouplenet.data.cache import decode_square, threads_for
from decouplenet.data.coco import boxes_outside
from decouplenet.data.formats import load_image_sets
from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Place, read_bytes, shown
from decouplenet.errors import InputError

MOST = 100
"""Faults of a kind that are named one by one."""


@dataclass
class Findings:
    """What a check found."""

    faults: list[str] = field(default_factory=list)
    """What would stop a run, or make its figures wrong."""
    notes: list[str] = field(default_factory=list)
    """What one should know."""
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of `train` and `val`: `images`, `labels_per_image` (how many images have 0, 1, ... labels), `class_counts`."""
    class_names: list[str] = field(default_factory=list)
    """The classes, in the order of the logits."""


def check(config: DataConfig, progress: Callable[[int, int], None] | None = None) -> Findings:
    """Read the labels, decode every image and compare the splits.

    Args:
        config: the data.
        progress: called with (done, all) while images are decoded.
    """
    found = Findings()
    try:
        train, val = load_image_sets(config, found.faults.append)
    except InputError as error:
        found.faults.append(str(error))
        return found
    found.faults = _first(found.faults)
    if config.format == "coco":
        for key, file in (("data.train", config.train_annotations), ("data.val", config.val_annotations)):
            found.faults += _first(boxes_outside(file, key)) if file else []
    sets = {"train": train, "val": val}
    found.class_names = list(train.class_names)
    found.splits = {split: _facts(images) for split, images in sets.items()}
    places = list(dict.fromkeys([*train.paths, *val.paths]))
    digests, broken = _decode(places, config, progress)
    found.faults += _first(broken) + _first(_leaks(train.paths, val.paths, digests))
    for split, images in sets.items():
        if config.format != "table":  # whose reader says so
            counts = Counter(images.paths).items()
            found.faults += _first([f"{split}: '{shown(p)}' is listed {n} times" for p, n in counts if n > 1])
        found.notes += _first(_repeated(split, images.paths, digests))
        found.notes += _about(split, images)
    return found


def _facts(images: ImageSet) -> dict[str, Any]:
    each = images.targets.sum(1)
    return {
        "images": len(images),
        "labels_per_image": np.bincount(each).tolist() if len(images) else [],
        "class_counts": dict(zip(images.class_names, images.targets.sum(0).tolist(), strict=True)),
    }


def _decode(
    places: Sequence[Place], config: DataConfig, progress: Callable[[int, int], None] | None
) -> tuple[dict[Place, str], list[str]]:
    """A digest of each file that is there, and what to say of those that are no images."""

    def one(place: Place) -> tuple[str | None, str | None]:
        if isinstance(place, Path) and not place.exists():
            return None, None  # the reader has named it
        try:
            content = read_bytes(place)
            digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        except OSError as error:
            return None, f"{shown(place)}: cannot be read ({error.strerror or error})"
        try:
            decode_square(place, config.image_size, content)
        except InputError as error:
            return digest, str(error)
        return digest, None

    digests, broken = {}, []
    with ThreadPoolExecutor(threads_for(places, config.workers)) as pool:
        for done, (place, (digest, fault)) in enumerate(zip(places, pool.map(one, places), strict=True), start=1):
            if digest:
                digests[place] = digest
            if fault:
                broken.append(fault)
            if progress:
                progress(done, len(places))
    return digests, broken


def _leaks(train: Sequence[Place], val: Sequence[Place], digests: dict[Place, str]) -> list[str]:
    """Images that are in both splits, by their place or by their content."""
    trained = {digests[place]: place for place in train if place in digests}
    places = set(train)
    found = []
    for place in val:
        if place in places:
            found.append(f"'{shown(place)}' is in both train and val; take it out of one")
        elif (twin := trained.get(digests.get(place, ""))) is not None:
            found.append(f"'{shown(place)}' of val has the content of '{shown(twin)}' of train; take one of them out")
    return found


def _repeated(split: str, places: Sequence[Place], digests: dict[Place, str]) -> list[str]:
    first: dict[str, Place] = {}
    found = []
    for place in places:
        digest = digests.get(place)
        if digest and first.setdefault(digest, place) != place:
            found.append(f"{split}: '{shown(place)}' has the content of '{shown(first[digest])}'")
    return found


def _about(split: str, images: ImageSet) -> list[str]:
    notes = []
    if not len(images):
        return [f"{split}: no image"]
    if empty := int((~images.targets.any(1)).sum()):
        notes.append(f"{split}: {empty} images have no label (data.drop_unlabelled leaves them out)")
    if absent := [name for name, count in zip(images.class_names, images.targets.sum(0), strict=True) if not count]:
        means = "mAP leaves it out" if split == "val" else "nothing is learned of it"
        notes.append(f"{split}: no image has {', '.join(map(repr, absent))} ({means})")
    if images.ignored is not None:
        notes.append(f"{split}: {int(images.ignored.sum())} labels are not counted (data.difficult ignore)")
    return notes


def _first(texts: list[str]) -> list[str]:
    """Those that are named; a last line says how many are not."""
    return texts if len(texts) <= MOST else [*texts[:MOST], f"... and {len(texts) - MOST} more of these"]
