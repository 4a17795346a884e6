"""Check of a data set before training: faults that would stop a run or falsify its results, and a summary."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from decouplenet.config import DataConfig
from decouplenet.data.cache import Progress, decode_square, threads_for
from decouplenet.data.coco import boxes_outside
from decouplenet.data.formats import load_image_sets
from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import Place, read_bytes, shown
from decouplenet.errors import InputError

MAX_NAMED = 100
"""Maximum number of faults of a kind that are named; the others are only counted."""


@dataclass
class Findings:
    """The result of a check."""

    faults: list[str] = field(default_factory=list)
    """Problems that would stop a run or make its results wrong."""
    notes: list[str] = field(default_factory=list)
    """Properties of the data that the user should know."""
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For `train` and `val`: `images`, `labels_per_image` (how many images have 0, 1, ... labels), `class_counts`."""
    class_names: list[str] = field(default_factory=list)
    """The classes, in the order of the logits."""


def check(config: DataConfig, progress: Progress | None = None) -> Findings:
    """Read the labels, decode every image and compare the splits.

    Args:
        config: the config of the data.
        progress: called with (done, all) while images are decoded.
    """
    findings = Findings()
    try:
        train, val = load_image_sets(config, findings.faults.append)
    except InputError as error:
        findings.faults.append(str(error))
        return findings
    findings.faults = _limited(findings.faults)
    if config.format == "coco":
        for key, file in (("data.train", config.train_annotations), ("data.val", config.val_annotations)):
            findings.faults += _limited(boxes_outside(file, key)) if file else []
    sets = {"train": train, "val": val}
    findings.class_names = list(train.class_names)
    findings.splits = {split: _summary(images) for split, images in sets.items()}
    places = list(dict.fromkeys([*train.paths, *val.paths]))
    digests, broken = _decode(places, config, progress)
    findings.faults += _limited(broken) + _limited(_leaks(train.paths, val.paths, digests))
    for split, images in sets.items():
        if config.format != "table":  # the reader of tables reports repeated images itself
            counts = Counter(images.paths).items()
            findings.faults += _limited([f"{split}: '{shown(p)}' is listed {n} times" for p, n in counts if n > 1])
        findings.notes += _limited(_repeated(split, images.paths, digests))
        findings.notes += _notes(split, images)
    return findings


def _summary(images: ImageSet) -> dict[str, Any]:
    labels_per_image = images.targets.sum(1)
    return {
        "images": len(images),
        "labels_per_image": np.bincount(labels_per_image).tolist() if len(images) else [],
        "class_counts": dict(zip(images.class_names, images.targets.sum(0).tolist(), strict=True)),
    }


def _decode(
    places: Sequence[Place], config: DataConfig, progress: Progress | None
) -> tuple[dict[Place, str], list[str]]:
    """A digest of each file that exists, and the faults of those that cannot be decoded."""

    def digest_and_fault(place: Place) -> tuple[str | None, str | None]:
        if isinstance(place, Path) and not place.exists():
            return None, None  # the reader has reported it
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
        results = pool.map(digest_and_fault, places)
        for done, (place, (digest, fault)) in enumerate(zip(places, results, strict=True), start=1):
            if digest:
                digests[place] = digest
            if fault:
                broken.append(fault)
            if progress:
                progress(done, len(places))
    return digests, broken


def _leaks(train: Sequence[Place], val: Sequence[Place], digests: dict[Place, str]) -> list[str]:
    """Faults of images that are in both splits, by their place or by their content."""
    train_places, train_digests = set(train), {digests[place]: place for place in train if place in digests}
    faults = []
    for place in val:
        if place in train_places:
            faults.append(f"'{shown(place)}' is in both train and val; remove it from one of them")
        elif (twin := train_digests.get(digests.get(place, ""))) is not None:
            faults.append(
                f"'{shown(place)}' of val has the same content as '{shown(twin)}' of train; remove one of them"
            )
    return faults


def _repeated(split: str, places: Sequence[Place], digests: dict[Place, str]) -> list[str]:
    """Notes about images of a split with the same content as an earlier one."""
    first: dict[str, Place] = {}
    notes = []
    for place in places:
        digest = digests.get(place)
        if digest and first.setdefault(digest, place) != place:
            notes.append(f"{split}: '{shown(place)}' has the same content as '{shown(first[digest])}'")
    return notes


def _notes(split: str, images: ImageSet) -> list[str]:
    """Notes about labels that are missing or do not count."""
    notes = []
    if not len(images):
        return [f"{split}: no image"]
    if empty := int((~images.targets.any(1)).sum()):
        notes.append(f"{split}: {empty} images have no label (data.drop_unlabelled leaves them out)")
    if absent := [name for name, count in zip(images.class_names, images.targets.sum(0), strict=True) if not count]:
        effect = "mAP leaves them out" if split == "val" else "the model cannot learn them"
        notes.append(f"{split}: no image has {', '.join(map(repr, absent))} ({effect})")
    if images.ignored is not None:
        notes.append(f"{split}: {int(images.ignored.sum())} labels do not count (data.difficult ignore)")
    return notes


def _limited(messages: list[str]) -> list[str]:
    """At most `MAX_NAMED` messages, and a line with the number of the others."""
    others = len(messages) - MAX_NAMED
    return messages if others <= 0 else [*messages[:MAX_NAMED], f"... and {others} more of these"]
