"""What a file is that Pillow cannot read, by its first bytes: a failed download, a pointer, a video, a HEIC photo."""

from __future__ import annotations

import codecs
from typing import NamedTuple

CONVERT = "convert it to JPEG or PNG"
DOWNLOAD = "download it again"
REPLACE = "replace it or leave it out"
UNPACK = "unpack it"
TEXT_BYTES = 512
"""Bytes at the start of a file that tell whether it is text."""
QUOTED = 40
"""Maximum number of characters of a text to quote."""


class FileKind(NamedTuple):
    """A kind of file that is no image that can be read."""

    name: str
    """With its article, for use after 'it is'."""
    advice: str


BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the image itself", "run `git lfs pull`"),
    (b"%PDF-", "a PDF document", CONVERT),
    (b"%!PS", "a PostScript drawing", CONVERT),
    (b"\xc5\xd0\xd3\xc6", "a PostScript drawing", CONVERT),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile", CONVERT),
    (b"\x01\0\0\0\x58\0\0\0", "a Windows metafile", CONVERT),
    (b"PK\x03\x04", "a ZIP archive", UNPACK),
    (b"PK\x05\x06", "an empty ZIP archive", REPLACE),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (b"\x1aE\xdf\xa3", "a video (Matroska or WebM)", "extract its frames"),
    (b"\0\0\x01\xba", "a video (MPEG)", "extract its frames"),
    (b"\0\0\x01\xb3", "a video (MPEG)", "extract its frames"),
    (b"FLV\x01", "a video (Flash)", "extract its frames"),
    (b"\0\x05\x16\x07", "the Mac's extra data of a file (its name begins with ._)", "leave it out"),
    (b"\xff\x0a", "a JPEG XL image", CONVERT),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image", CONVERT),
    (b"FUJIFILMCCD-RAW", "a raw photo (Fujifilm)", CONVERT),
    (b"IIRO", "a raw photo (Olympus)", CONVERT),
    (b"IIU\0", "a raw photo (Panasonic)", CONVERT),
    (b"\x93NUMPY", "a NumPy array", "save it as PNG"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "save its images as JPEG or PNG"),
    (b"GRIB", "a weather map (GRIB)", CONVERT),
    (b"BUFR", "weather data (BUFR)", "leave it out"),
    (b"PAR1", "a Parquet table", "give it as the table, not as an image"),
    (b"data:image/", "the base64 text of an image", "decode it"),
    (b"/9j/", "the base64 text of an image", "decode it"),
    (b"iVBORw0KGgo", "the base64 text of an image", "decode it"),
)
"""How files of each kind begin, their name, and what to do."""
HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1")
)
AVIF_BRANDS = frozenset((b"avif", b"avis"))


def is_heif(content: bytes) -> bool:
    """Whether a file is a HEIC or HEIF photo, as phones write. AVIF has the same container, and Pillow reads it."""
    brands = _brands(content)
    return bool(brands) and brands[0] in HEIF_BRANDS and AVIF_BRANDS.isdisjoint(brands)


def kind_of(content: bytes) -> FileKind | None:
    """What a file is that is certainly no image that Pillow reads; None if that is not certain."""
    if not content:
        return FileKind("empty", REPLACE)
    for beginning, name, advice in BEGINNINGS:
        if content.startswith(beginning):
            return FileKind(name, advice)
    if is_heif(content):
        return FileKind("a HEIC photo", f"`pip install pillow-heif` reads it, or {CONVERT}")
    if brands := _brands(content):
        if brands[0].startswith(b"cr"):
            return FileKind("a raw photo (Canon)", CONVERT)
        return (
            None if AVIF_BRANDS.intersection(brands) else FileKind("a video (MP4 or QuickTime)", "extract its frames")
        )
    if content.startswith(b"RIFF") and content[8:12] == b"AVI ":
        return FileKind("a video (AVI)", "extract its frames")
    if content[128:132] == b"DICM":
        return FileKind("a DICOM file", CONVERT)
    if content[257:262] == b"ustar":
        return FileKind("a tar archive", UNPACK)
    if not content.strip(b"\0"):
        return FileKind("nothing but zero bytes, so its content was lost", REPLACE)
    return None


def text_kind_of(content: bytes) -> FileKind | None:
    """What a text is that Pillow did not take for an image; None if the file is no text."""
    text = _text(content[:TEXT_BYTES])
    if text is None:
        return None
    start = text.lstrip().lower()
    if "<html" in start or start.startswith(("<!doctype html", "<head", "<body", "<script")):
        return FileKind("an HTML page, not an image", DOWNLOAD)
    if "<svg" in start:
        return FileKind("an SVG drawing", CONVERT)
    if start.startswith("<"):
        return FileKind("an XML document, not an image", DOWNLOAD)
    if start.startswith(("{", "[")):
        return FileKind("a JSON document, not an image", DOWNLOAD)
    return FileKind(f"plain text, not an image: '{' '.join(text.split())[:QUOTED]}'", REPLACE)


def _brands(content: bytes) -> list[bytes]:
    """The brands of a file in the ISO base media format: the major one, then the compatible ones."""
    if content[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(content[:4], "big"), 256)
    return [content[8:12], *(content[i : i + 4] for i in range(16, end - 3, 4))]


def _text(start: bytes) -> str | None:
    """The start of a file as text; None if it is no text."""
    encoding = "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start)  # the start may end inside of a character
    except UnicodeDecodeError:
        return None
    is_text = all(character.isprintable() or character in "\t\r\n\f" for character in text)
    return text if is_text and text.strip() else None
