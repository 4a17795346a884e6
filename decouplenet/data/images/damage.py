"""What to say about an image that cannot be decoded: what the file is, or what is wrong with it."""

from __future__ import annotations

import re

from decouplenet.data.images.compat import can_open_heif
from decouplenet.data.images.file_kinds import REPLACE, is_heif, kind_of, text_kind_of
from decouplenet.data.places import Place, shown
from decouplenet.errors import InputError, one_line

SHOWN_BYTES = 8
"""Number of bytes to show of a file of an unknown format."""
NAMED = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")
"""Formats whose first bytes are hardly those of another file."""
OWN_WORDS = (OSError, SyntaxError, ValueError, RuntimeError)
"""Types of errors whose messages Pillow writes. Those of other types are Python's."""
TRUNCATED = re.compile(r"truncated|end of file|not enough (image )?data|buffer is not large enough", re.IGNORECASE)
BOMB = re.compile(r"decompression bomb", re.IGNORECASE)
VARIANT = re.compile(
    r"unsupported|not (yet )?supported|unimplemented|unknown|cannot handle|cannot find loader", re.IGNORECASE
)
"""Messages about a variant of a format that Pillow does not read. They say more than that the data are damaged."""


class DamagedError(Exception):
    """An image is damaged. The message says how, in the words of this project."""


def undecodable(place: Place, content: bytes, error: Exception) -> InputError:
    """The error of an image that cannot be decoded.

    Args:
        place: the image's file or address.
        content: the file's content.
        error: what its decoder raised.
    """
    from PIL import UnidentifiedImageError

    start = f"{shown(place)}: cannot be decoded"
    kind = None if is_heif(content) and can_open_heif() else kind_of(content)
    format_, _, message = str(error).partition(": ") if isinstance(error, UnidentifiedImageError) else ("", "", "")
    is_unknown = isinstance(error, UnidentifiedImageError) and format_ not in NAMED
    if is_unknown:
        kind = kind or text_kind_of(content)
    if kind:
        return InputError(f"{start}: it is {kind.name}; {kind.advice}")
    if is_unknown:
        begin = repr(content[:SHOWN_BYTES])
        return InputError(f"{start}: it is no image of a known format (it begins with {begin}); {REPLACE}")
    damaged = f"its {format_} header is damaged" if format_ else "its data are damaged"
    return InputError(f"{start} ({_reason(error, message) or damaged}); {REPLACE}")


def _reason(error: Exception, message: str) -> str | None:
    """Why an image cannot be decoded, in words that are no programmer's; None if it is just damaged."""
    message = one_line(message or error).rstrip(".")
    if isinstance(error, DamagedError):
        return message
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    if BOMB.search(message):
        return "it, or a part of it, has more pixels than Pillow allows"
    if TRUNCATED.search(message):
        return "it is truncated"
    return message if isinstance(error, OWN_WORDS) and VARIANT.search(message) else None
