"""Transparent images on a background, and every other mode of colours, to RGB."""

from __future__ import annotations

from typing import Any

from decouplenet.errors import InputError


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of `data.background`: a colour's name, or `#rrggbb`.

    Raises:
        InputError: there is no such colour.
    """
    from PIL import ImageColor

    try:
        red, green, blue, *alpha = ImageColor.getrgb(colour)
    except ValueError:
        alpha = [0]
    if alpha:  # a background is opaque
        raise InputError(
            f"data.background: '{colour}' is no colour; give a name such as white, or #rrggbb such as #808080"
        )
    return red, green, blue


def on_background(image: Any, colour: str) -> tuple[Any, str | None]:
    """A loaded PIL image of 8 bits per value in RGB, its transparent pixels blended with a colour.

    Blending comes before any resizing: the hidden colours of transparent pixels, usually black, would otherwise leak
    into their neighbours.

    Returns:
        The image in RGB, and what was done about transparent pixels; None if there are none.

    Raises:
        InputError: there is no such colour.
    """
    from PIL import Image

    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB"), None
    if image.mode == "La":
        image = image.convert("LA")  # the only mode that it converts to
    image = image.convert("RGBA")
    lowest, highest = image.getchannel("A").getextrema()
    if lowest == 255:
        return image.convert("RGB"), None
    canvas = Image.new("RGB", image.size, rgb_of(colour))
    canvas.paste(image, mask=image)
    return canvas, f"{'its transparent pixels are' if highest else 'it is transparent and'} drawn on {colour}"
