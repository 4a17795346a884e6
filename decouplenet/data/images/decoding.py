"""From the content of an image file to square RGB pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from decouplenet.config import DataConfig
from decouplenet.data.images.background import on_background
from decouplenet.data.images.bit_depth import to_eight_bits
from decouplenet.data.images.compat import (
    can_open_heif,
    has_deep_colours,
    has_inverted_grey,
    lift_tiff_limit,
    mend_planes,
    open_unlimited,
    scale_transparent_grey,
    swap_bytes,
)
from decouplenet.data.images.damage import DamagedError, undecodable
from decouplenet.data.images.file_kinds import is_heif
from decouplenet.data.images.jpeg_scans import BAND, Cut, cut_of, is_padded, whole_share
from decouplenet.data.images.orientation import UPRIGHT, as_stored, orientation_of, swaps_sides, upright
from decouplenet.data.images.png_chunks import without_extras
from decouplenet.data.images.reduction import REDUCIBLE, TooManyPixelsError, reduce
from decouplenet.data.places import Place, read_bytes, shown
from decouplenet.errors import InputError

WHOLE_SHARE = 0.95
"""Minimum share of whole pixels of a JPEG that lacks its last bytes."""
_T = TypeVar("_T")
_DEFAULTS = DataConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How images are decoded: the keys of the config with the same names."""

    exif: bool = _DEFAULTS.exif
    background: str = _DEFAULTS.background
    max_pixels: int = _DEFAULTS.max_pixels

    @classmethod
    def of(cls, config: DataConfig) -> Decoding:
        """The decoding that a config asks for."""
        return cls(exif=config.exif, background=config.background, max_pixels=config.max_pixels)


AS_USUAL = Decoding()
"""The defaults of the config."""


class Decoded(NamedTuple):
    """An image that was warped to a square, and what is known of its file."""

    pixels: NDArray[np.uint8]
    """S×S×3, RGB."""
    width: int
    """Of the upright image in its file, in pixels."""
    height: int
    turned: bool
    """Whether its EXIF orientation was applied."""
    notes: tuple[str, ...]
    """What was done beyond plain decoding, each as a short clause."""


class _Photo(NamedTuple):
    """A decoded image, before it is resized."""

    image: Any
    """A PIL image in RGB. A JPEG may have been reduced."""
    width: int
    height: int
    turned: bool
    notes: tuple[str, ...]


def decode(place: Place, size: int, decoding: Decoding = AS_USUAL, content: bytes | None = None) -> Decoded:
    """Decode an image and warp it to a square, as the paper does.

    Args:
        place: the image's file or address.
        size: S, side of the square in pixels.
        decoding: how to decode.
        content: the file's content, if it was read already.

    Raises:
        InputError: the file is missing, or is not an image that can be decoded.
    """
    from PIL import Image

    def warp(content: bytes) -> Decoded:
        photo = _read(content, decoding, size)
        square = photo.image.resize((size, size), Image.Resampling.BILINEAR)
        return Decoded(np.asarray(square), photo.width, photo.height, photo.turned, photo.notes)

    return _guarded(warp, place, content)


def decode_square(
    place: Place, size: int, decoding: Decoding = AS_USUAL, content: bytes | None = None
) -> NDArray[np.uint8]:
    """The pixels of `decode`: size×size×3, RGB, uint8.

    Raises:
        InputError: the file is missing, or is not an image that can be decoded.
    """
    return decode(place, size, decoding, content).pixels


def open_photo(place: Place, decoding: Decoding = AS_USUAL, content: bytes | None = None) -> Any:
    """Decode an image at its own size: a PIL image in RGB, upright.

    A JPEG with more pixels than `decoding.max_pixels` is reduced to a half, a quarter or an eighth of its sides.

    Args:
        place: the image's file or address.
        decoding: how to decode.
        content: the file's content, if it was read already.

    Raises:
        InputError: the file is missing, or is not an image that can be decoded.
    """
    return _guarded(lambda content: _read(content, decoding, None).image, place, content)


def as_rgb(image: Any, background: str = "white") -> Any:
    """A PIL image in RGB, with 8 bits per value and its transparent pixels on a background.

    Raises:
        ValueError: the value range of its pixels is unknown.
    """
    return on_background(to_eight_bits(image)[0], background)[0]


def unreadable(place: Place, error: OSError) -> str:
    """What to say about an image whose file cannot be read."""
    return f"{shown(place)}: cannot be read ({error.strerror or error}); put it there or leave it out"


def _guarded(decoder: Callable[[bytes], _T], place: Place, content: bytes | None) -> _T:
    """Decode a place's content. Whatever a decoder raises is the fault of the image.

    Raises:
        InputError: the image cannot be read or decoded.
    """
    try:
        content = read_bytes(place) if content is None else content
    except OSError as error:
        raise InputError(unreadable(place, error)) from None
    try:
        return decoder(content)
    except TooManyPixelsError as error:
        raise InputError(f"{shown(place)}: {error}") from None
    except InputError:
        raise
    except Exception as error:  # damaged files make Pillow and its libraries raise errors of all types
        raise undecodable(place, content, error) from None


def _read(content: bytes, decoding: Decoding, size: int | None) -> _Photo:
    """Decode a file; without what cannot be read of it, if its pixels are there.

    Args:
        content: the file's content.
        decoding: how to decode.
        size: the side of the square that a JPEG may be reduced for; None for its own size.

    Raises:
        Exception: what the decoder raised.
    """
    if is_padded(content) and (cut := cut_of(content)):
        return _read_cut(cut, decoding, size)
    try:
        return _decode(content, decoding, size)
    except Exception:
        if cut := cut_of(content):
            return _read_cut(cut, decoding, size)
        if not (repaired := without_extras(content)):
            raise
        content, note = repaired
    photo = _decode(content, decoding, size)
    return photo._replace(notes=(*photo.notes, note))


def _read_cut(cut: Cut, decoding: Decoding, size: int | None) -> _Photo:
    """Decode a JPEG without its last bytes.

    Raises:
        DamagedError: too few of its pixels are whole.
    """
    if not cut.has_all_scans:
        raise DamagedError("its last bytes are missing, and with them the details of all pixels")
    first, second = cut.endings()
    stored = replace(decoding, exif=False)
    photo, other = (_decode(content, stored, size) for content in (first, second))
    share = whole_share(photo.image, other.image, -(-BAND * photo.image.height // photo.height))
    percent = f"{int(100 * share)} % of its pixels"
    if share < WHOLE_SHARE:
        raise DamagedError(f"its last bytes are missing, and only {percent} are whole")
    photo = _decode(first, decoding, size)
    whole = "all of its pixels" if share == 1 else percent
    return photo._replace(notes=(*photo.notes, f"its last bytes are missing; {whole} are whole"))


def _decode(content: bytes, decoding: Decoding, size: int | None) -> _Photo:
    """Decode a file as it is.

    Raises:
        Exception: what the decoder raised.
    """
    from PIL import ImageChops

    image = _open(content)
    stored_size, is_deep, is_inverted = image.size, has_deep_colours(image), has_inverted_grey(image)
    # Pillow turns a TIFF upright while it loads it, and forgets how it was stored.
    done = orientation_of(image) if image.format == "TIFF" else UPRIGHT
    reduce(image, size, decoding.max_pixels)
    lift_tiff_limit(image)
    image.load()
    due = UPRIGHT if done != UPRIGHT else orientation_of(image)

    def low_bytes() -> Any:
        again = _open(content)
        lift_tiff_limit(again)
        return again if swap_bytes(again) else None

    eight_bits, scaled = to_eight_bits(image, low_bytes if is_deep else None)
    eight_bits = ImageChops.invert(eight_bits) if is_inverted else eight_bits
    rgb, drawn = on_background(eight_bits, decoding.background)
    rgb = upright(rgb, due) if decoding.exif else as_stored(rgb, done)
    width, height = rgb.size
    if image.format in REDUCIBLE:
        width, height = stored_size[::-1] if decoding.exif and swaps_sides(due) else stored_size
    turned = decoding.exif and (done, due) != (UPRIGHT, UPRIGHT)
    return _Photo(rgb, width, height, turned, tuple(note for note in (scaled, drawn) if note))


def _open(content: bytes) -> Any:
    """A PIL image that is not loaded yet, and that Pillow will read right."""
    formats = ("HEIF",) if is_heif(content) and can_open_heif() else None
    image = open_unlimited(io.BytesIO(content), formats)
    mend_planes(image)
    scale_transparent_grey(image)
    return image
