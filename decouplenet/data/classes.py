"""The classes of a data set are matched by name across its splits, or fixed by `data.classes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from decouplenet.data.image_set import ImageSet
from decouplenet.data.reporter import Reporter
from decouplenet.dotted_keys import did_you_mean
from decouplenet.wording import counted, examples


def fit_classes(
    images: ImageSet, names: Sequence[str], *, split: str, owner: str, fixed: bool, reporter: Reporter
) -> ImageSet:
    """The images with the classes `names`, in that order. Classes are matched by name.

    Args:
        images: the images of a split, with its own classes.
        names: the classes of all splits.
        split: train, val or test.
        owner: where the classes come from, for messages.
        fixed: whether the user chose them. A label outside them is then left out and noted, else it is a fault.
        reporter: gets faults and notes.
    """
    if images.class_names == tuple(names):
        return images
    _report_differences(images, names, split, owner, fixed, reporter)
    column = {name: i for i, name in enumerate(images.class_names)}
    kept = [(i, column[name]) for i, name in enumerate(names) if name in column]
    new, old = [i for i, _ in kept], [i for _, i in kept]
    targets = np.zeros((len(images), len(names)), np.uint8)
    targets[:, new] = images.targets[:, old]
    ignored = None
    if images.ignored is not None:
        ignored = np.zeros(targets.shape, bool)
        ignored[:, new] = images.ignored[:, old]
    return replace(images, targets=targets, class_names=tuple(names), ignored=ignored)


def _report_differences(
    images: ImageSet, names: Sequence[str], split: str, owner: str, fixed: bool, reporter: Reporter
) -> None:
    """Report how a split's classes differ from those of all splits. Arguments as for `fit_classes`."""
    own, wanted = list(images.class_names), set(names)
    counts = dict(zip(own, images.targets.sum(0).tolist(), strict=True))
    outside = [name for name in own if name not in wanted]
    similar = {_key(name): name for name in names}
    where = f"data.{split}_annotations"
    misspelt = [name for name in outside if _key(name) in similar]
    for name in misspelt:
        reporter.fault(
            f"{where}: '{name}' ({counted(counts[name], 'image')}) is not one of the classes of {owner}, but "
            f"'{similar[_key(name)]}' is; write them alike"
        )
    if others := [name for name in outside if name not in misspelt and counts[name]]:
        listed = examples([f"'{name}' ({counted(counts[name], 'image')})" for name in others])
        if fixed:
            reporter.note(f"{split}: labels outside the classes of {owner} are left out: {listed}")
        else:
            hint = did_you_mean(others[0], names)
            verb = "is" if len(others) == 1 else "are"
            reporter.fault(
                f"{where}: {listed} {verb} not among the classes of {owner}{f' ({hint})' if hint else ''}; correct "
                "the labels, or name the classes with data.classes"
            )
    elif not fixed and outside and not misspelt:
        verb = "is" if len(outside) == 1 else "are"
        reporter.note(f"{split}: {examples(outside)} {verb} not among the classes of {owner}, and no image has them")
    if lacking := [name for name in names if name not in own]:
        hints = [hint for hint in (did_you_mean(name, outside) for name in lacking) if hint] if fixed else []
        hint = f" ({hints[0]})" if hints else ""
        reporter.note(f"{split}: its labels lack classes of {owner}: {examples(lacking)}{hint}")
    if [name for name in own if name in wanted] != [name for name in names if name in own] and not fixed:
        reporter.note(f"{split}: its classes are in another order than those of {owner}, and are matched by name")


def note_similar(names: Sequence[str], where: str, reporter: Reporter) -> None:
    """Note names that differ only by case, blanks or signs between words, which may be one class."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_key(name), []).append(name)
    for alike in groups.values():
        if len(alike) > 1:
            reporter.note(f"{where}: the classes {', '.join(map(repr, alike))} differ only by case or blanks")


def _key(name: str) -> str:
    """A name without what writers of labels vary: case, blanks, underscores and hyphens."""
    return "".join(name.casefold().replace("_", " ").replace("-", " ").split())
