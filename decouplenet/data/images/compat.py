"""Uses of Pillow and pillow-heif that rely on more than their documentation promises, as small named functions.

A new version of either library may break any of these. `tests/decouplenet/data/test_compat.py` tests each of them and
names the broken assumption. This module imports nothing else of the project.
"""

from __future__ import annotations

import functools
import importlib
import re
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

UNFIT = (SyntaxError, IndexError, TypeError, struct.error)
"""What a reader of Pillow raises for a file that is not of its format, or whose header is damaged."""
DEEP = re.compile(r"(RGB|RGBA|RGBX|RGBa|LA|[RGBA]);16([BLN])")
"""Pillow's names for colours and transparency with 16 bits per value: the mode or plane, and the order of the bytes."""
PLANES = frozenset("RGBA")
"""Pillow's names for planes of colours and transparency with 8 bits per value."""
NATIVE = "L" if sys.byteorder == "little" else "B"
SWAPPED = {"B": "L", "L": "B", "N": "B" if NATIVE == "L" else "L"}
"""The other byte order, in the names of Pillow's raw modes."""
INK_PLANES = frozenset("CMYK")
"""The same of CMYK, of which Pillow cannot read 16 bits per value."""
BITS_TAG, COLOURS_TAG = 258, 262
"""TIFF's tags BitsPerSample and PhotometricInterpretation."""
GREY_FACTORS = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey values of 2 and 4 bits with, by its raw mode."""
BYTE_CODECS = ("raw", "zip", "libtiff")
"""Pillow's decoders that leave the order of a value's bytes to the raw mode."""


def open_unlimited(file: BinaryIO, formats: Sequence[str] | None = None) -> Any:
    """Open an image as `Image.open` does, but without its global limit of pixels and the warning below that limit.

    Args:
        file: the image's content.
        formats: Pillow's names of the formats to try (default: all).

    Raises:
        UnidentifiedImageError: no reader takes the file. If one took its first bytes, the message is the name of its
            format, a colon, and its reason if it gave any.
        Exception: what a reader raised.
    """
    from PIL import Image, UnidentifiedImageError

    reason = ""
    prefix = file.read(16)
    for name in _names(formats):
        factory, accept = Image.OPEN[name]
        fits = not accept or _accepts(accept, prefix)
        if not fits or isinstance(fits, str):  # a text says why Pillow cannot read the format here
            reason = reason or (f"{name}: {fits}" if fits else "")
            continue
        file.seek(0)
        try:
            return factory(file, "")
        except Exception as error:
            if accept and not isinstance(error, UNFIT):
                raise  # the file is of this format; a reader without such a test gets files of all formats
            is_pillows = isinstance(error, SyntaxError) and not error.__cause__  # errors of Python say nothing
            if accept and not reason:
                reason = f"{name}: {error if is_pillows else ''}"
    raise UnidentifiedImageError(reason)


def _accepts(accept: Callable[[bytes], bool | str], prefix: bytes) -> bool | str:
    """Whether a file's first bytes are of a format. The tests fail on files that are too short for them."""
    try:
        return accept(prefix)
    except UNFIT:
        return False


def _names(formats: Sequence[str] | None) -> Iterator[str]:
    """Pillow's names of formats in the order to try. The rare formats are imported only after the common ones."""
    from PIL import Image

    if formats is not None:
        yield from formats
        return
    tried: set[str] = set()
    for load in (Image.preinit, Image.init):
        load()
        names = [name for name in Image.ID if name not in tried]
        tried.update(names)
        yield from names


def raw_modes(image: Any) -> set[str]:
    """How the values of an image are stored in its file, before it is loaded: Pillow's raw modes, such as `RGB;16B`."""
    modes = set()
    for codec, _, _, args in image.tile:
        mode = args[0] if isinstance(args, tuple) and args else args
        modes.add(f"{mode};16B" if codec == "SGI16" else str(mode))
    return modes


def has_deep_colours(image: Any) -> bool:
    """Whether Pillow will drop the low byte of 16 bits per value when it loads this image."""
    return any(DEEP.fullmatch(mode) for mode in raw_modes(image))


def swap_bytes(image: Any) -> bool:
    """Let an image with 16 bits per value be loaded with the low byte of each value in place of the high byte.

    Pillow keeps the high byte, which it takes to be the low byte if it is told the other byte order.

    Args:
        image: an image with deep colours that is not loaded yet.

    Returns:
        Whether its format allows that.
    """
    tiles = []
    for tile in image.tile:
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        stored = DEEP.fullmatch(str(args[0]))
        if tile[0] not in BYTE_CODECS or not stored or stored[1] not in {"RGB", "RGBA", "RGBX", *PLANES}:
            return False
        tiles.append(tile._replace(args=(f"{stored[1]};16{SWAPPED[stored[2]]}", *args[1:])))
    image.tile = tiles
    return bool(tiles)


def scale_transparent_grey(image: Any) -> None:
    """Scale the grey value that a PNG declares transparent as Pillow scales its pixels, from 2 or 4 bits to 8."""
    transparent = image.info.get("transparency")
    for mode in raw_modes(image) & GREY_FACTORS.keys():
        if image.mode == "L" and isinstance(transparent, int):
            image.info["transparency"] = transparent * GREY_FACTORS[mode]


def mend_planes(image: Any) -> None:
    """Let a TIFF with planes of 16 bits per value be read as such. Pillow takes their first bytes for 8-bit values.

    In CMYK it will fail to load, where it would have the wrong pixels.
    """
    if image.format != "TIFF" or set(image.tag_v2.get(BITS_TAG, ())) != {16}:
        return
    order = "L" if image.tag_v2.prefix == b"II" else "B"
    image.tile = [
        tile._replace(args=(f"{tile[3][0]};16{order}", *tile[3][1:]))
        if tile[0] == "raw" and tile[3][0] in PLANES | INK_PLANES
        else tile
        for tile in image.tile
    ]


def has_inverted_grey(image: Any) -> bool:
    """Whether 0 is white in a TIFF with 16 bits of grey. Pillow inverts such images of 1 and 8 bits, but not these."""
    inverted: bool = image.format == "TIFF" and image.mode.startswith("I;16") and image.tag_v2.get(COLOURS_TAG) == 0
    return inverted


def lift_tiff_limit(image: Any) -> None:
    """Let a TIFF that is not loaded yet be loaded without Pillow's global limit, which it checks a second time."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if image.format == "TIFF" and limit and image.width * image.height > limit:
        image.im = Image.new(image.mode, image._tile_size).im  # Pillow allocates and checks only what is not there


@functools.cache
def can_open_heif() -> bool:
    """Let Pillow open HEIC photos, if the optional package pillow-heif is installed. Returns whether it is."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True
