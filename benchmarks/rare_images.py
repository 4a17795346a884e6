"""Small files of the image formats that Pillow can read but not write, built by hand from their headers."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np


def rare_images(photo: Any) -> Iterator[tuple[str, bytes]]:
    """The name and the content of a file per format.

    Args:
        photo: a PIL image in RGB.
    """
    colours, grey = np.asarray(photo), np.asarray(photo.convert("L"))
    (height, width), pixels = grey.shape, grey.tobytes()
    yield "CUR", _icon(photo, 2)
    page = _saved(photo, "PCX")
    yield "DCX", struct.pack("<3I", 0x3ADE68B1, 12, 0) + page
    yield "FITS", _fits(width, height) + pixels.ljust(2880, b"\0")
    yield "FLI", _animation(width, height, pixels)
    yield "FTEX", b"FTEX" + struct.pack("<8i", 1, width, height, 1, 1, 1, 32, 3 * len(pixels)) + colours.tobytes()
    yield "GBR", struct.pack(">5I4sI", 33, 2, width, height, 1, b"GIMP", 10) + b"name\0" + pixels
    yield "IMT", f"* maps\nwidth {width}\nheight {height}\npixel n8\n\x0c".encode() + pixels
    yield "IPTC", _news_photo(width, height, pixels)
    yield "MCIDAS", _weather_map(width, height) + pixels
    yield "PCD", bytes(2048) + b"PCD_IPI".ljust(95 * 2048, b"\0") + bytes(768 * 512 * 3 // 2)
    yield "PIXAR", _pixar(width, height) + colours.tobytes()
    channels = colours.transpose(2, 0, 1).tobytes()
    yield "PSD", struct.pack(">4sH6xHIIHH12xH", b"8BPS", 1, 3, height, width, 8, 3, 0) + channels
    even = photo.resize((60, 47))
    yield "SUN", struct.pack(">8I", 0x59A66A95, 60, 47, 24, 3 * 60 * 47, 1, 0, 0) + even.tobytes()
    yield "XPM", _pixmap()
    yield "XVTHUMB", f"P7 332\n#END_OF_COMMENTS\n{width} {height} 255\n".encode() + pixels
    yield "BUFR", b"BUFR" + struct.pack(">I", 64).ljust(60, b"\3") + b"7777"
    yield "GRIB", b"GRIB\0\0\0\1" + bytes(56) + b"7777"
    yield "HDF5", b"\x89HDF\r\n\x1a\n" + bytes(88)
    yield "MPEG", b"\0\0\1\xb3" + struct.pack(">I", (width << 20) | (height << 8)) + bytes(60)
    yield "WMF", struct.pack("<IH4hH6x", 0x9AC6CDD7, 0, 0, 0, width, height, 72) + b"\x01\0\x09\0" + bytes(60)


def _saved(image: Any, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _icon(photo: Any, kind: int) -> bytes:
    content = bytearray(_saved(photo.resize((32, 32)), "ICO", bitmap_format="bmp"))
    content[2] = kind
    return bytes(content)


def _fits(width: int, height: int) -> bytes:
    cards = (("SIMPLE", "T"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", width), ("NAXIS2", height))
    return "".join(f"{key:8}= {value:>20}".ljust(80) for key, value in cards).encode() + b"END".ljust(2880 - 400)


def _animation(width: int, height: int, pixels: bytes) -> bytes:
    copy = struct.pack("<IH", 6 + len(pixels), 16) + pixels
    frame = struct.pack("<IHH8x", 16 + len(copy), 0xF1FA, 1) + copy
    start = struct.pack("<IHHHHHHI", 128 + len(frame), 0xAF12, 1, width, height, 8, 3, 70)
    return start.ljust(128, b"\0") + frame


def _news_photo(width: int, height: int, pixels: bytes) -> bytes:
    def field(record: int, tag: int, value: bytes) -> bytes:
        return struct.pack(">BBBH", 0x1C, record, tag, len(value)) + value

    fields = [field(3, 60, b"\1\0"), field(3, 120, b"\1")]
    fields += [field(3, 20, struct.pack(">H", width)), field(3, 30, struct.pack(">H", height))]
    return b"".join(fields) + field(8, 10, pixels)


def _weather_map(width: int, height: int) -> bytes:
    words = [0] * 64
    words[1], words[8], words[9], words[10], words[13], words[33] = 4, height, width, 1, 1, 256
    return struct.pack(">64i", *words)


def _pixar(width: int, height: int) -> bytes:
    header = bytearray(1024)
    header[:4] = b"\200\350\0\0"
    struct.pack_into("<HH4xHH", header, 416, height, width, 14, 2)
    return bytes(header)


def _pixmap() -> bytes:
    rows = ",\n".join(f'"{"ab" * 8}"' for _ in range(8))
    lines = f'"16 8 2 1",\n"a c #ff0000",\n"b c None",\n{rows}'
    return f"/* XPM */\nstatic char * image[] = {{\n{lines}\n}};\n".encode()
