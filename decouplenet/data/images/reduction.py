"""How many pixels of an image are decoded: a JPEG as few as are needed, other images all, up to a limit."""

from __future__ import annotations

from typing import Any

JPEG_SCALES = (1, 2, 4, 8)
"""The sides of a JPEG can be divided by these numbers while it is decoded."""
REDUCIBLE = ("JPEG", "MPO")
"""Pillow's names of formats that it can decode at a lower resolution."""


class TooManyPixelsError(Exception):
    """An image has more pixels than `data.max_pixels`. The message says how many, and what to do."""


def reduce(image: Any, size: int | None, max_pixels: int) -> None:
    """Let a JPEG be decoded with as little detail as is needed.

    Args:
        image: a PIL image that is not loaded yet.
        size: side in pixels of the square that is needed; None for all detail that `max_pixels` allows.
        max_pixels: maximum number of pixels to decode.

    Raises:
        TooManyPixelsError: the image still has too many pixels.
    """
    width, height = image.size
    # A progressive JPEG is held in memory whole, at any scale.
    can_shrink = image.format in REDUCIBLE and not image.info.get("progressive")
    if image.format in REDUCIBLE and size:
        image.draft("RGB", (size, size))
    elif can_shrink:
        fits = [s for s in JPEG_SCALES if -(-width // s) * -(-height // s) <= max_pixels]
        scale = fits[0] if fits else JPEG_SCALES[-1]
        image.draft("RGB", (max(1, width // scale), max(1, height // scale)))
    decoded = image.width * image.height if can_shrink else width * height
    if decoded > max_pixels:
        raise TooManyPixelsError(
            f"has {decoded} pixels to decode (it is {width}×{height}), more than data.max_pixels: {max_pixels}; "
            "raise that, or replace it with a smaller image"
        )
