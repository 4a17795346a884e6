"""The orientation of a photo, which its camera wrote into the EXIF data."""

from __future__ import annotations

from typing import Any

ORIENTATION_TAG = 0x0112
UPRIGHT = 1
TRANSPOSITIONS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What turns a photo of each orientation upright, by Pillow's names."""
INVERSE = {6: 8, 8: 6}
"""Orientations whose transposition is undone by that of another one. The others undo themselves."""


def orientation_of(image: Any) -> int:
    """A PIL image's orientation, 1 to 8. It is upright (1) without EXIF data, or if they are damaged."""
    try:
        orientation = int(image.getexif()[ORIENTATION_TAG])
    except Exception:  # the data may be anything, and they are not the photo
        return UPRIGHT
    return orientation if orientation in TRANSPOSITIONS else UPRIGHT


def upright(image: Any, orientation: int) -> Any:
    """A PIL image of an orientation, turned upright."""
    from PIL import Image

    method = TRANSPOSITIONS.get(orientation)
    return image.transpose(Image.Transpose[method]) if method else image


def as_stored(image: Any, orientation: int) -> Any:
    """An upright PIL image, turned back to how a file of this orientation stores it."""
    return upright(image, INVERSE.get(orientation, orientation))


def swaps_sides(orientation: int) -> bool:
    """Whether turning upright swaps width and height."""
    return orientation >= 5
