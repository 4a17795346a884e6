"""The classes that `data.classes` names: a list, or a file in one of the usual forms."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from decouplenet.data.places import is_address, read_bytes, shown
from decouplenet.errors import InputError, one_line

HEAD = re.compile(
    r"(.*[ _-]|label|display|class|category)?"
    r"(id|ids|name|names|code|index|label|labels|class|classes|category|number|description)"
)
"""The name of a column of a file of classes, in lower case."""
NUMBERED = re.compile(r"(\d+)\s*[\s:.,)]\s*(\S.*)")
"""A line of a number and a name."""
FORMS = "give one name per line, a number or code and a name per line, or a list in JSON or YAML"


@dataclass(frozen=True)
class Classes:
    """The classes that `data.classes` fixes."""

    names: tuple[str, ...]
    """C names, in the order of the logits."""
    codes: Mapping[str, str] = field(default_factory=dict)
    """Name by the number or code that the file gives it (`1,cat`, `/m/01yrx,Cat`); empty if it has only names."""


def read_classes(value: Sequence[str] | str | None) -> Classes | None:
    """The classes of `data.classes`; None if it is not given.

    Args:
        value: a list of names, or a file: one name per line, a name and its number per line in any order, a code and a
            name per line, or a list or mapping in JSON or YAML. Numbers give the order.

    Raises:
        InputError: the file cannot be read or understood, or a name is there twice.
    """
    if value is None:
        return None
    where = "data.classes" if not isinstance(value, str) else f"data.classes: '{shown(value)}'"
    if isinstance(value, str):
        classes = _from_file(value, where)
    else:
        classes = Classes(tuple(str(name).strip() for name in value))
    names = classes.names
    if not names:
        raise InputError(f"{where} has no class; give one name per class")
    if not all(names):
        raise InputError(f"{where} has an empty name; give each class a name")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{where} has '{repeated[0]}' {names.count(repeated[0])} times; write each class once")
    return classes


def _from_file(file: str, where: str) -> Classes:
    try:
        text = read_bytes(file if is_address(file) else Path(file).expanduser()).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise InputError(f"{where} cannot be read ({reason}); give a list of names, or a file of names") from None
    if text.lstrip()[:1] in ("[", "{") or file.partition("?")[0].endswith((".json", ".yaml", ".yml")):
        try:
            return _from_tree(yaml.safe_load(text), where)  # JSON is YAML
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InputError(f"{where} is neither JSON nor YAML ({one_line(error, 80)}); {FORMS}") from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if any(line.endswith("{") or line == "}" for line in lines):
        raise InputError(f"{where} is in a form that is not known; {FORMS}")
    return _from_lines(lines)


def _from_tree(tree: Any, where: str) -> Classes:
    """The classes of a list or mapping: names, names by number, numbers by name, or objects with id and name."""
    match tree:
        case {"names": inner} | {"categories": inner} | {"classes": inner}:
            return _from_tree(inner, where)
        case list() if all(isinstance(item, (str, int)) for item in tree):
            return Classes(tuple(str(item).strip() for item in tree))
        case list() if all(isinstance(item, dict) and "name" in item for item in tree):
            pairs = [(str(item.get("id", i)), str(item["name"])) for i, item in enumerate(tree)]
        case dict() if tree and all(str(key).isdecimal() for key in tree):
            pairs = [(str(number), str(name)) for number, name in tree.items()]
        case dict() if tree and all(type(number) is int for number in tree.values()):
            pairs = [(str(number), str(name)) for name, number in tree.items()]
        case _:
            raise InputError(f"{where} is in a form that is not known; {FORMS}")
    return _coded(pairs)


def _from_lines(lines: list[str]) -> Classes:
    """The classes of lines: names, or a number or code and a name."""
    for delimiter in (",", "\t", ";"):
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
        if not rows or any(len(row) != 2 for row in rows):
            continue
        if len(rows) > 1 and all(HEAD.fullmatch(cell.lower()) for cell in rows[0]):
            rows = rows[1:]
        for number, name in ((0, 1), (1, 0)):
            if all(row[number].isdecimal() for row in rows) and not all(row[name].isdecimal() for row in rows):
                return _coded([(row[number], row[name]) for row in rows])
        if all(row[0] and not row[0].count(" ") for row in rows) and len({row[0] for row in rows}) == len(rows):
            return Classes(tuple(name for _, name in rows), {row[0]: row[1] for row in rows})
    numbered = [NUMBERED.fullmatch(line) for line in lines]
    pairs = [(match[1], match[2].strip()) for match in numbered if match]
    if len(pairs) == len(lines) and len(dict(pairs)) == len(pairs):
        return _coded(pairs)
    names = [row[0] if len(row) == 1 else line for line, row in ((line, next(csv.reader([line]))) for line in lines)]
    names = [name.strip() for name in names]
    return Classes(tuple(names[1:] if len(names) > 1 and HEAD.fullmatch(names[0].lower()) else names))


def _coded(pairs: Sequence[tuple[str, str]]) -> Classes:
    """The classes of names with numbers, in the order of the numbers; of names with other codes, as they stand."""
    if all(code.isdecimal() for code, _ in pairs):
        pairs = sorted(pairs, key=lambda pair: int(pair[0]))
        pairs = [(str(int(code)), name) for code, name in pairs]
    return Classes(tuple(name.strip() for _, name in pairs), {code: name.strip() for code, name in pairs})
