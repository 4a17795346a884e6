"""One XML file of PASCAL VOC: the name of an image and its objects."""

from __future__ import annotations

import codecs
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

from decouplenet.data.tables.flags import ABSENT, PRESENT, flag_word

ENCODING = re.compile(rb"""^\s*<\?xml\b[^>]*?\bencoding\s*=\s*["']([^"'>]*)["']""")
WRONG_ENCODING = 19
"""Expat's code for a file that is not in the encoding that it declares."""
SHOWN = 40
"""Maximum number of characters of a text that a message shows."""


class VocObject(NamedTuple):
    """An object in an image."""

    label: str
    is_difficult: bool


class VocFile(NamedTuple):
    """The content of an XML file."""

    filename: str
    """The name of the image; empty if the file does not have it."""
    objects: list[VocObject]
    wrong_encoding: str | None
    """The encoding that the file declares, if it is another one: then it was read as UTF-8 or UTF-16."""


def read_voc_xml(file: Path) -> VocFile:
    """The content of an XML file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no XML file of VOC. The message is a clause.
    """
    root, wrong_encoding = _root(file.read_bytes())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # of an XML namespace, which stands in braces before each name
    if root.tag.lower() != "annotation":
        raise ValueError(f"its outermost element is <{root.tag}>, not <annotation>")
    objects = [_object(element) for element in root.iter("object")]
    return VocFile((root.findtext("filename") or "").strip(), objects, wrong_encoding)


def _object(element: ET.Element) -> VocObject:
    label = " ".join((element.findtext("name") or "").split())
    if not label:
        raise ValueError("an object has no name; write its class")
    difficult = (element.findtext("difficult") or "").strip()
    word = flag_word(difficult)
    if word not in PRESENT | ABSENT | {""}:
        raise ValueError(f"an object '{label}' has <difficult>{difficult[:SHOWN]}</difficult>; write 0 or 1")
    return VocObject(label, word in PRESENT)


def _root(content: bytes) -> tuple[ET.Element, str | None]:
    """The outermost element, and the encoding that is declared wrongly."""
    try:
        return _parsed(content), None
    except ET.ParseError as error:
        if error.code != WRONG_ENCODING:
            raise ValueError(str(error)) from None
    except (LookupError, ValueError):  # Python's parser knows only some of the encodings that Python knows
        pass
    text, wrong_encoding = _decoded(content)
    try:
        return _parsed(text), wrong_encoding
    except ET.ParseError as error:
        raise ValueError(str(error)) from None


def _parsed(text: bytes | str) -> ET.Element:
    """The outermost element. The encoding that a file declares is for bytes; a text is read whatever it declares."""
    return ET.fromstring(text)  # noqa: S314 - expat fetches nothing from outside and limits what entities expand to


def _decoded(content: bytes) -> tuple[str, str | None]:
    """The text of a file whose encoding the parser does not take, and the encoding if it is declared wrongly."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16", "replace")
        return text, _declared(text.encode())
    declared = _declared(content)
    # A file whose declaration can be read as ASCII is not in UTF-16.
    for name in ("utf-8",) if declared.lower().startswith("utf") else (declared, "utf-8"):
        try:
            return content.decode(name), None if name == declared else declared
        except (LookupError, ValueError):
            continue
    raise ValueError(
        f"its encoding '{declared}' is not known, and it is not in UTF-8" if declared else "no text in UTF-8"
    )


def _declared(content: bytes) -> str:
    """The encoding that a file declares."""
    match = ENCODING.search(content.removeprefix(codecs.BOM_UTF8))
    return match[1].decode("latin-1")[:SHOWN] if match else ""
