"""The classes of a data set: those that `data.classes` fixes, and the matching of classes by name across splits."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import is_address, read_bytes, shown
from decouplenet.data.reporter import Reporter, counted, examples
from decouplenet.dotted_keys import did_you_mean
from decouplenet.errors import InputError


@dataclass(frozen=True)
class Classes:
    """The classes that `data.classes` fixes."""

    names: tuple[str, ...]
    """C names, in the order of the logits."""
    codes: Mapping[str, str] = field(default_factory=dict)
    """Name by code, of a file that has both (`/m/01yrx,Cat`)."""


def read_classes(value: Sequence[str] | str | None) -> Classes | None:
    """The classes of `data.classes`; None if it is not given.

    Args:
        value: a list of names, or a file: a JSON list, one name per line, a name and its number per line in any order,
            or a code and a name per line.

    Raises:
        InputError: the file cannot be read, or a name is there twice.
    """
    if value is None:
        return None
    where = "data.classes" if not isinstance(value, str) else f"data.classes: '{shown(value)}'"
    rows = [[str(name)] for name in value] if not isinstance(value, str) else _rows(value, where)
    names, codes = [row[-1].strip() for row in rows], dict[str, str]()
    if rows and all(len(row) == 2 for row in rows):
        names, codes = _two_columns(rows)
    if not names:
        raise InputError(f"{where} has no class; give one name per class")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{where} has '{repeated[0]}' {names.count(repeated[0])} times; write each class once")
    if not all(names):
        raise InputError(f"{where} has an empty name; give each class a name")
    return Classes(tuple(names), codes)


def _rows(file: str, where: str) -> list[list[str]]:
    """The cells of the lines of a file of classes."""
    try:
        text = read_bytes(file if is_address(file) else Path(file).expanduser()).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise InputError(f"{where} cannot be read ({reason}); give a list of names, or a file of names") from None
    if text.lstrip().startswith("["):
        try:
            return [[str(name)] for name in json.loads(text)]
        except ValueError as error:
            raise InputError(f"{where} is no JSON list ({error}); give one name per line") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    delimiter = next((sign for sign in (",", "\t") if lines and all(line.count(sign) == 1 for line in lines)), None)
    if delimiter is None:
        return _numbered([line.split(maxsplit=1) for line in lines]) or [[line] for line in lines]
    return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]


def _numbered(rows: list[list[str]]) -> list[list[str]] | None:
    """Lines such as `0 cat`, if all are numbered from 0 or 1; else None, because a name may have blanks."""
    numbers = [row[0].rstrip(":.") for row in rows if len(row) == 2]
    counted = [list(map(str, range(start, start + len(rows)))) for start in (0, 1)]
    return rows if len(numbers) == len(rows) and numbers in counted else None


HEADS = frozenset(("labelname", "displayname", "name", "id", "class", "index", "label", "code", "category", "number"))
"""Usual names of the columns of a file of classes, in lower case."""


def _two_columns(rows: list[list[str]]) -> tuple[list[str], dict[str, str]]:
    """Names and codes of lines with two cells: a number and a name in any order, or a code and a name."""
    if {cell.strip().lower() for cell in rows[0]} <= HEADS:
        rows = rows[1:]
    for number, name in ((0, 1), (1, 0)):
        texts = [row[number].strip().rstrip(":.") for row in rows]
        if all(text.isdecimal() for text in texts) and len(set(texts)) == len(texts):
            order = sorted(range(len(rows)), key=lambda i: int(texts[i]))
            return [rows[i][name].strip() for i in order], {}
    return [name for _, name in rows], dict(rows)


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
