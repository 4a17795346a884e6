"""JPEG files without their last bytes: where they end, and how many of their pixels are whole.

An interrupted copy or download leaves such files. Often only the end marker is missing, and all pixels are there.
Names of markers are those of the standard, ITU-T T.81.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

START, END = b"\xff\xd8", b"\xff\xd9"
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
RESTARTS = range(0xD0, 0xD8)
DEFINE_RESTARTS, START_OF_SCAN, END_OF_IMAGE = 0xDD, 0xDA, 0xD9
MARKER = re.compile(rb"\xff+([^\x00\xff])")
MARKER_AFTER_SCAN = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
RESTART = re.compile(rb"\xff([\xd0-\xd7])")
COEFFICIENTS = 64
"""DCT coefficients of a block."""
BAND = 16
"""Maximum height of a band of blocks in pixels."""
PADDING = 64
"""Zero bytes at a file's end that are no pixels: the space that was reserved for a download that stopped."""


@dataclass(slots=True)
class Cut:
    """A JPEG up to the place where it is cut."""

    content: bytes
    has_all_scans: bool
    """Whether the cut is in the last scan, so that the pixels before it are final."""
    next_restart: int | None
    """The restart marker that is due next, 0 to 7; None if the file has none."""

    def endings(self) -> tuple[bytes, bytes]:
        """The content, completed in two ways: pixels that are the same in both do not depend on what is missing."""
        other = np.random.default_rng(0).integers(0, 255, 4096, np.uint8).tobytes()  # without 255, so no marker
        if self.next_restart is not None:  # the cut may be at the end of an interval, where only a marker is read
            other += bytes((0xFF, RESTARTS[self.next_restart])) + other
        return self.content + END, self.content + other + END


@dataclass(slots=True)
class _Headers:
    """What the segments before the cut say."""

    missing_bits: dict[int, list[int]] = field(default_factory=dict)
    """By component, the low bits of each coefficient that no scan has sent yet."""
    has_restarts: bool = False

    def read(self, kind: int, segment: bytes) -> None:
        if kind in FRAMES:
            ids = segment[6::3]
            self.missing_bits = {component: [16] * COEFFICIENTS for component in ids}
        elif kind == DEFINE_RESTARTS:
            self.has_restarts = segment[:2] != b"\0\0"
        elif kind == START_OF_SCAN and segment:
            first, last, bits = segment[-3:]
            for component in segment[1 : 1 + 2 * segment[0] : 2]:
                for i in range(first, min(last, COEFFICIENTS - 1) + 1):
                    self.missing_bits[component][i] = bits & 15

    @property
    def has_all_scans(self) -> bool:
        return not any(map(any, self.missing_bits.values()))


def is_padded(content: bytes) -> bool:
    """Whether a JPEG ends in zero bytes, which decoders would take for pixels."""
    return content.startswith(START) and content.endswith(bytes(PADDING))


def cut_of(content: bytes) -> Cut | None:
    """Where a JPEG is cut; None if it has its end marker, or is damaged in another way."""
    if not content.startswith(START):
        return None
    content = content.rstrip(b"\0") if is_padded(content) else content
    headers, scan = _Headers(), 0
    try:
        for kind, segment, end in _segments(content):
            if kind == END_OF_IMAGE:
                return None
            headers.read(kind, segment)
            scan = end if kind == START_OF_SCAN else 0
    except (KeyError, IndexError, ValueError, struct.error):  # the headers are damaged
        return None
    if not headers.missing_bits:  # no image begins before the cut
        return None
    content = content.rstrip(b"\xff")  # half of a marker, or of a byte 255
    restarts = RESTART.findall(content, scan)
    next_restart = (restarts[-1][0] - RESTARTS[0] + 1) % 8 if restarts else 0
    return Cut(content, headers.has_all_scans, next_restart if headers.has_restarts else None)


def _segments(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The segments of a JPEG up to its end marker: the marker's code, the segment's content, where the segment ends."""
    start, pattern = len(START), MARKER
    while marker := pattern.search(content, start):
        kind = marker[1][0]
        if kind == END_OF_IMAGE:
            yield kind, b"", marker.end()
            return
        (length,) = struct.unpack_from(">H", content, marker.end())
        end = marker.end() + length
        if end > len(content):
            raise ValueError("the cut is in a header")
        yield kind, content[marker.end() + 2 : end], end
        start, pattern = end, MARKER_AFTER_SCAN if kind == START_OF_SCAN else MARKER


def whole_share(first: Any, second: Any, band: int) -> float:
    """The share of pixels, 0 to 1, before the first block that differs between two PIL images of the same size.

    Blocks follow each other from left to right in bands.

    Args:
        first: an image.
        second: the other image.
        band: maximum height of a band in pixels.
    """
    differs = (np.asarray(first) != np.asarray(second)).any(axis=2)
    if not differs.any():
        return 1.0
    top = int(np.argmax(differs.any(axis=1)))
    left = int(np.argmax(differs[top]))
    below = differs[top : top + band, :left].any(axis=1)
    height = int(np.argmax(below)) if below.any() else len(below)
    return float((top * differs.shape[1] + height * left) / differs.size)
