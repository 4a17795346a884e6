"""Check of a data set before training: faults that would stop a run or falsify its results, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from decouplenet.config import DataConfig
from decouplenet.data.annotations.coco import boxes_outside
from decouplenet.data.cache import Progress
from decouplenet.data.formats import load_splits
from decouplenet.data.image_check import CheckedImages, check_images
from decouplenet.data.image_set import ImageSet
from decouplenet.data.opened import too_many_broken
from decouplenet.data.places import Place, shown
from decouplenet.data.reporter import Reporter
from decouplenet.errors import InputError
from decouplenet.wording import counted

MAX_NAMED = 100
"""Maximum number of faults or notes of a kind that are named; the others are only counted."""


@dataclass
class Findings:
    """The result of a check."""

    faults: list[str] = field(default_factory=list)
    """Problems that would stop a run or make its results wrong."""
    notes: list[str] = field(default_factory=list)
    """Properties of the data that the user should know."""
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For `train`, `val` and, if there is one, `test`: `images`, `labels_per_image` (how many images have 0, 1, ...
    labels), `class_counts`."""
    class_names: list[str] = field(default_factory=list)
    """The classes, in the order of the logits."""


@dataclass(frozen=True)
class CheckedData:
    """A data set that was checked."""

    findings: Findings
    sets: dict[str, ImageSet]
    """The images by split; empty if the labels cannot be read."""
    unusable: frozenset[Place]
    """The images that are missing or cannot be decoded."""


def check(config: DataConfig, progress: Progress | None = None, *, decode: bool = True) -> CheckedData:
    """Read the labels, decode every image and compare the splits.

    Args:
        config: the config of the data.
        progress: called with (done, all) while images are decoded.
        decode: whether to read and decode the images.
    """
    findings = Findings()
    try:
        splits = load_splits(config, Reporter(findings.faults.append, findings.notes.append), test=True)
    except InputError as error:
        findings.faults.append(str(error))
        return CheckedData(findings, {}, frozenset())
    findings.faults, findings.notes = _limited(findings.faults), _limited(findings.notes)
    sets = {name: images for name, images in zip(("train", "val", "test"), splits, strict=True) if images is not None}
    findings.class_names = list(splits[0].class_names)
    findings.splits = {split: _summary(images) for split, images in sets.items()}
    places = list(dict.fromkeys(place for images in sets.values() for place in images.paths))
    checked = check_images(places, config, progress) if decode else CheckedImages()
    _report_images(findings, checked, config, sets)
    if config.format == "coco":
        _report_boxes(findings, config, checked)
    findings.faults += _limited(_leaks(sets, checked.digests))
    for split, images in sets.items():
        if config.format != "table":  # the reader of tables reports repeated images itself
            counts = Counter(images.paths).items()
            findings.faults += _limited([f"{split}: '{shown(p)}' is listed {n} times" for p, n in counts if n > 1])
        findings.notes += _limited(_repeated(split, images.paths, checked.digests))
        findings.notes += _notes(split, images)
    return CheckedData(findings, sets, frozenset((*checked.missing, *checked.broken)))


def _summary(images: ImageSet) -> dict[str, Any]:
    labels_per_image = images.targets.sum(1)
    return {
        "images": len(images),
        "labels_per_image": np.bincount(labels_per_image).tolist() if len(images) else [],
        "class_counts": dict(zip(images.class_names, images.targets.sum(0).tolist(), strict=True)),
    }


def _report_images(findings: Findings, checked: CheckedImages, config: DataConfig, sets: dict[str, ImageSet]) -> None:
    """Add the faults of broken images, and notes about what decoding does."""
    broken = list(checked.broken.values())
    if config.broken == "skip" and broken:
        findings.notes.append(
            f"{counted(len(broken), 'image')} cannot be decoded and will be left out (data.broken skip)"
        )
        findings.notes += _limited(broken)
        for split, images in sets.items():
            count = sum(place in checked.broken for place in images.paths)
            if count > config.broken_share * len(images):
                findings.faults.append(too_many_broken(count, len(images), split, config.broken_share))
    else:
        findings.faults += _limited(broken)
    findings.notes += checked.notes()


def _report_boxes(findings: Findings, config: DataConfig, checked: CheckedImages) -> None:
    """Add notes about boxes outside of their images. No run uses boxes."""
    for split in ("train", "val", "test"):
        if file := getattr(config, f"{split}_annotations"):
            findings.notes += _limited(boxes_outside(file, f"data.{split}", checked.turned))


def _leaks(sets: dict[str, ImageSet], digests: dict[Place, str]) -> list[str]:
    """Faults of images that are in two splits, by their place or by their content."""
    faults = []
    names = list(sets)
    for i, first in enumerate(names):
        places = set(sets[first].paths)
        by_digest = {digests[place]: place for place in sets[first].paths if place in digests}
        for second in names[i + 1 :]:
            for place in sets[second].paths:
                if place in places:
                    faults.append(f"'{shown(place)}' is in both {first} and {second}; remove it from one of them")
                elif (twin := by_digest.get(digests.get(place, ""))) is not None:
                    faults.append(
                        f"'{shown(place)}' of {second} has the same content as '{shown(twin)}' of {first}; remove one "
                        "of them"
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
        have = "has" if empty == 1 else "have"
        notes.append(f"{split}: {counted(empty, 'image')} {have} no label (data.drop_unlabelled leaves them out)")
    if absent := [name for name, count in zip(images.class_names, images.targets.sum(0), strict=True) if not count]:
        effect = "the model cannot learn them" if split == "train" else "mAP leaves them out"
        notes.append(f"{split}: no image has {', '.join(map(repr, absent))} ({effect})")
    if images.ignored is not None and (pairs := int(images.ignored.sum())):
        verb = "label does" if pairs == 1 else "labels do"
        notes.append(f"{split}: {pairs} {verb} not count (data.difficult and data.unknown)")
    return notes


def _limited(messages: list[str]) -> list[str]:
    """At most `MAX_NAMED` messages, and a line with the number of the others."""
    others = len(messages) - MAX_NAMED
    return messages if others <= 0 else [*messages[:MAX_NAMED], f"... and {others} more of these"]
