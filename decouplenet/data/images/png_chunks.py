"""PNG files whose texts or colour profiles cannot be read: the same images without them."""

from __future__ import annotations

import struct

SIGNATURE = b"\x89PNG\r\n\x1a\n"
EXTRAS = {b"tEXt": "text", b"zTXt": "text", b"iTXt": "text", b"iCCP": "colour profile"}
"""Chunks that are no pixels, by what they hold."""


def without_extras(content: bytes) -> tuple[bytes, str] | None:
    """A PNG without its texts and colour profile.

    Pillow refuses a whole PNG whose texts are longer than 1 MB, unless a setting of the whole process is changed.

    Returns:
        The content, and what was left out; None if there is nothing to leave out.
    """
    if not content.startswith(SIGNATURE):
        return None
    kept, dropped, start = [SIGNATURE], set(), len(SIGNATURE)
    while start + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        end = start + 12 + length  # length, kind and checksum have 4 bytes each
        if kind in EXTRAS:
            dropped.add(EXTRAS[kind])
        else:
            kept.append(content[start:end])
        start = end
    if not dropped:
        return None
    names = " and ".join(sorted(dropped))
    return b"".join(kept), f"its {names} {'is' if len(dropped) == 1 else 'are'} left out"
