"""The content of a COCO instances JSON, and what other programs write instead of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decouplenet.data.places import Source, is_address, read_bytes, shown
from decouplenet.data.reporter import Reporter
from decouplenet.errors import InputError, UnreadableError, one_line

Entry = dict[str, Any]
"""An object of the JSON."""
NEEDED = "it must have images (id, file_name), annotations (image_id, category_id) and categories (id, name)"
SINGULAR = {"images": "image", "categories": "category"}
ADVICE = {"images": "write the name of its file", "categories": "write its name"}
SHOWN = 40
"""Maximum number of characters of a value that a message shows."""


@dataclass(frozen=True)
class CocoFile:
    """The entries of an instances JSON that can be used."""

    images: list[Entry]
    """They have `id` and the text `file_name`."""
    categories: list[Entry]
    """They have `id` and the text `name`."""
    annotations: list[Entry]
    """They have `id`, and `image_id` and `category_id` of an image and a category above."""


def read_coco_file(annotations: Source, key: str, reporter: Reporter) -> CocoFile:
    """The content of an instances JSON. Entries that cannot be used are reported and left out.

    Args:
        annotations: a file or an address.
        key: start of the config keys for messages: `data.train`, `data.val` or `data.test`.
        reporter: gets faults and notes.

    Raises:
        InputError: the file is missing, or is not in COCO's format.
    """
    where = f"{key}_annotations: '{shown(annotations)}'"
    content = _parsed(annotations, key)
    if not isinstance(content, dict):
        raise InputError(f"{where} is not a COCO instances JSON: it is {_kind(content)}, not an object; {NEEDED}")
    if content.get("annotations") is None:
        content["annotations"] = []  # as in the files of test images; the missing labels are a fault of their own
    for kind in ("images", "categories", "annotations"):
        if content.get(kind) is None:
            raise InputError(f"{where} lacks the key '{kind}'; {NEEDED}")
        if not isinstance(content[kind], list):
            raise InputError(f"{where}: '{kind}' is {_kind(content[kind])}, not a list; {NEEDED}")
    entries: dict[str, list[Entry]] = {}
    lost: dict[str, set[Any]] = {}
    for kind, name in (("images", "file_name"), ("categories", "name")):
        identified = [entry for _, entry in _identified(content[kind], kind, ("id",), where, reporter)]
        entries[kind] = _named(identified, kind, name, where, reporter)
        lost[kind] = {entry["id"] for entry in identified} - {entry["id"] for entry in entries[kind]}
    labels = _identified(content["annotations"], "annotations", ("image_id", "category_id"), where, reporter)
    for kind, field in (("images", "image_id"), ("categories", "category_id")):
        _join_by_text([entry for _, entry in labels], field, entries[kind], kind, where, reporter)
        if lost[kind]:
            labels = [(number, entry) for number, entry in labels if entry[field] not in lost[kind]]
    return CocoFile(entries["images"], entries["categories"], _defined(labels, entries, where, reporter))


def _parsed(annotations: Source, key: str) -> Any:
    """The content of a JSON file in UTF-8, UTF-16 or UTF-32."""
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
    except (ValueError, RecursionError) as error:
        reason = "its objects are nested too deeply" if isinstance(error, RecursionError) else one_line(error)
        reason = "it is not text in UTF-8" if isinstance(error, UnicodeError) else reason
        hint = "; --data.format table reads a csv or parquet" if str(file).endswith((".csv", ".parquet")) else ""
        raise InputError(f"{key}_annotations: {name} is not a COCO instances JSON ({reason}){hint}") from None


def _identified(
    entries: Sequence[Any], kind: str, fields: Sequence[str], where: str, reporter: Reporter
) -> list[tuple[int, Entry]]:
    """The entries that are objects with ids, and their numbers in the file. One fault is for all of the same kind."""
    usable, faults = [], dict[str, list[str]]()
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            faults.setdefault("", []).append(
                f"{where}: entry {number} of '{kind}' is {_kind(entry)}, not an object; {NEEDED}"
            )
            continue
        for field in fields:
            if not _is_id(value := entry.get(field)):
                problem = f"has no '{field}'" if value is None else f"has the '{field}' {as_json(value)}"
                faults.setdefault(field, []).append(
                    f"{where}: entry {number} of '{kind}' {problem}; write a number or a text"
                )
                break
        else:
            usable.append((number, entry))
    for first, *others in faults.values():
        reporter.fault(f"{first} (as for {len(others)} more)" if others else first)
    return usable


def _named(entries: Sequence[Entry], kind: str, field: str, where: str, reporter: Reporter) -> list[Entry]:
    """The entries whose name is a text. Ids that several entries share are reported too."""
    named = []
    for entry in entries:
        name = entry.get(field)
        if isinstance(name, str) and name.strip() and _is_unicode(name):
            named.append(entry)
        else:
            which = f"the {SINGULAR[kind]} with id {as_json(entry['id'])}"
            problem = f"has no '{field}'" if name is None else f"has the '{field}' {as_json(name)}"
            reporter.fault(f"{where}: {which} {problem}; {ADVICE[kind]}")
    for repeated, count in Counter(entry["id"] for entry in named).items():
        if count > 1:
            names = ", ".join(shown(entry[field]) for entry in named if entry["id"] == repeated)
            reporter.fault(f"{where} has id {repeated} {count} times among its {kind}: {names}; make the ids unique")
    return named


def _join_by_text(
    annotations: Sequence[Entry], field: str, entries: Sequence[Entry], kind: str, where: str, reporter: Reporter
) -> None:
    """Let annotations refer to ids that are a text on one side and a number on the other, if none fits as it is."""
    used, ids = {annotation[field] for annotation in annotations}, {entry["id"] for entry in entries}
    by_text = {str(entry_id): entry_id for entry_id in ids}
    fitting = {reference for reference in used if str(reference) in by_text}
    if used & ids or not fitting:
        return
    for annotation in annotations:
        annotation[field] = by_text.get(str(annotation[field]), annotation[field])
    example = min(fitting, key=str)
    reporter.note(
        f"{where}: no '{field}' is the id of one of the {kind}, but as texts they fit: {as_json(example)} is read as "
        f"{as_json(by_text[str(example)])}"
    )


def _defined(
    labels: Sequence[tuple[int, Entry]], entries: dict[str, list[Entry]], where: str, reporter: Reporter
) -> list[Entry]:
    """The annotations of images and categories that the file defines, with ids. The others are reported."""
    names = {entry["id"]: entry["file_name"] for entry in entries["images"]}
    categories = {entry["id"] for entry in entries["categories"]}
    defined = []
    for number, annotation in labels:
        image, category = annotation["image_id"], annotation["category_id"]
        if image in names and category in categories:
            annotation.setdefault("id", number)
            defined.append(annotation)
            continue
        unknown = [f"image id {as_json(image)}"] if image not in names else []
        unknown += [f"category id {as_json(category)}"] if category not in categories else []
        for reference in unknown:
            file = f" (image '{shown(names[image])}')" if image in names else ""
            reporter.fault(f"{where}: annotation {number}{file} uses {reference}, which the file does not define")
    return defined


def is_finite(value: Any) -> bool:
    """Whether a value of a JSON is a number that can be calculated with: `Infinity` and `NaN` are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15


def _is_id(value: Any) -> bool:
    return type(value) in (int, str) or is_finite(value)


def _is_unicode(text: str) -> bool:
    """Whether a text can be written. JSON's escapes allow halves of characters, which cannot."""
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


def as_json(value: Any) -> str:
    """A value as it stands in the JSON, for messages; a long one is cut."""
    text = json.dumps(value, ensure_ascii=False)
    text = text if _is_unicode(text) else json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _kind(value: Any) -> str:
    """What a value of a JSON is, with its article."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}
    return names.get(type(value), "a number")
