"""Images with more than 8 bits per value, or with fractions: to 8 bits, by the range that the file uses.

Scanners, microscopes and depth cameras store 10, 12 or 14 bits in files of 16 bits. Read by the file's 16 bits, these
images are nearly black.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_eight_bits(image: Any, low_bytes: Callable[[], Any] | None = None) -> tuple[Any, str | None]:
    """A loaded PIL image with 8 bits per value.

    Args:
        image: an image of any mode.
        low_bytes: given if Pillow dropped the low byte of 16 bits per value: loads the same image with the low bytes in
            place of the high bytes. It returns None if the format does not allow that.

    Returns:
        The image, and what was scaled; None if its values were taken as they are.

    Raises:
        ValueError: the value range of its pixels is unknown.
    """
    if image.mode == "F":
        return _from_fractions(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_integers(image, np.asarray(image))
    if low_bytes and image.mode in ("RGB", "RGBA"):
        return _from_deep_colours(image, low_bytes)
    return image, None


def _from_fractions(image: Any) -> tuple[Any, str | None]:
    from PIL import Image

    values = np.asarray(image)
    lowest, highest = float(values.min()), float(values.max())
    if lowest < 0:
        raise _unknown_range(image)
    if highest <= 1:
        return Image.fromarray(np.rint(values * 255).astype(np.uint8)), "its values from 0 to 1 are scaled to 255"
    if highest <= 255:
        return Image.fromarray(np.rint(values).astype(np.uint8)), None
    if highest > 65535 or (values != np.rint(values)).any():  # NaN is not equal to itself
        raise _unknown_range(image)
    return _from_integers(image, values.astype(np.uint16))


def _from_integers(image: Any, values: NDArray[Any]) -> tuple[Any, str | None]:
    from PIL import Image

    if values.min() < 0 or values.max() > 65535:
        raise _unknown_range(image)
    bits = _bits(int(values.max()))
    grey = Image.fromarray((values >> (bits - 8)).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey, _note(bits) if values.any() else None


def _from_deep_colours(image: Any, low_bytes: Callable[[], Any]) -> tuple[Any, str | None]:
    """Colours of 16 bits, of which Pillow gave the high bytes. The low bytes are loaded only where they matter."""
    from PIL import Image

    high = np.asarray(image)
    highest = int(high[..., :3].max())
    transparent = image.info.get("transparency")
    has_key = image.mode == "RGB" and isinstance(transparent, tuple)
    if highest >= 128 and not has_key:
        return image, None
    low = low_bytes()
    if low is None:
        if has_key:
            image.info["transparency"] = tuple(value >> 8 for value in transparent)
        if not 0 < highest < 128:
            return image, None
        bits = highest.bit_length() + 8
        values = high.astype(np.uint16) << 8
        note: str | None = f"{_note(bits)}, without the low 8 bits"
    else:
        values = (high.astype(np.uint16) << 8) | np.asarray(low)
        bits = _bits(int(values[..., :3].max()))
        note = _note(bits)
    shifts = np.full(values.shape[2], bits - 8)
    if values.shape[2] == 4 and _bits(int(values[..., 3].max())) > bits:
        shifts[3] = 8  # the alpha channel uses its 16 bits
    scaled = Image.fromarray((values >> shifts).astype(np.uint8))
    if has_key and low is not None:
        scaled.putalpha(Image.fromarray(np.where((values == transparent).all(axis=2), 0, 255).astype(np.uint8)))
    return scaled, note if values[..., :3].any() else None


def _bits(highest: int) -> int:
    return max(8, highest.bit_length())


def _note(bits: int) -> str | None:
    if bits == 8:
        return "its 8 bits in 16 are taken as they are"
    return f"its {bits} bits in 16 are scaled to 8" if bits < 16 else None


def _unknown_range(image: Any) -> ValueError:
    return ValueError(f"its pixels have mode {image.mode} with an unknown range; save it with 8 or 16 bits")
