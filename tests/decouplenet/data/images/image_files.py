"""Small image files in forms that are hard to read, and their decoded squares."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

RAMP = np.linspace(0, 255, 16).astype(np.uint8)

SCENE = np.stack([np.tile(RAMP, (12, 1)), np.tile(RAMP[:12, None], (1, 16)), np.full((12, 16), 90, np.uint8)], axis=2)
"""An image of 16×12 pixels that looks different after each turn."""


def content_of(image, format_="PNG", **options):
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def png(values, *, chunks=()):
    """A PNG with 16 bits per value, which Pillow cannot write in colour, from H×W×C values."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    every = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in every
    )


def tiff(values, *, planes=False, zero_is_white=False, order="<"):
    """An uncompressed TIFF with 16 bits per value, from H×W×3 or H×W×1 values; in planes or not."""
    height, width, channels = values.shape
    strips, size = (channels, width * height * 2) if planes else (1, values.size * 2)
    colours = 2 if channels == 3 else int(not zero_is_white)
    tags = [(256, 4, 1, width), (257, 4, 1, height), (262, 3, 1, colours), (277, 3, 1, channels), (278, 4, 1, height)]
    tags += [(258, 3, 3, 300) if channels == 3 else (258, 3, 1, 16), (284, 3, 1, 1 + planes)]
    tags += [(273, 4, strips, 320 if planes else 400), (279, 4, strips, 340 if planes else size)]
    start = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    for tag, kind, count, value in sorted(tags):
        short = kind == 3 and count == 1  # its value is in the first two of four bytes
        start += struct.pack(f"{order}HHI" + ("HH" if short else "I"), tag, kind, count, value, *([0] if short else []))
    start = start.ljust(300, b"\0") + struct.pack(f"{order}3H", 16, 16, 16)
    start = start.ljust(320, b"\0") + struct.pack(f"{order}3I", 400, 400 + size, 400 + 2 * size)
    start = start.ljust(340, b"\0") + struct.pack(f"{order}3I", size, size, size)
    pixels = values.transpose(2, 0, 1) if planes else values
    return start.ljust(400, b"\0") + pixels.astype(f"{order}u2").tobytes()


def tiff_in_planes(values):
    return tiff(values, planes=True)


def big_endian_tiff_in_planes(values):
    return tiff(values, planes=True, order=">")


def square_of(pixels, size=8):
    """Pixels, resized as `decode` does."""
    return np.asarray(Image.fromarray(pixels).convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def turned_back(pixels, orientation):
    """Pixels as a camera stores them that was held in this orientation."""
    undo = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: np.rot90(p, -1),
    }
    return np.ascontiguousarray(undo[orientation](pixels))
