"""Checks of config values, for the sections' own ranges."""

from __future__ import annotations

from typing import SupportsIndex

from decouplenet.errors import InputError


def check_k(key: str, k: int | float, *, zero_allowed: bool) -> None:
    """Refuse a k+ or k- that is neither a number of pixels nor a share of the pixels (Eq. 3)."""
    if isinstance(k, SupportsIndex):
        require(k >= (0 if zero_allowed else 1), key, k, "a number of pixels or a share in (0, 1]")
    else:
        require(0 < k <= 1 or (zero_allowed and k == 0), key, k, "a number of pixels or a share in (0, 1]")


def require(holds: bool, key: str, value: object, need: str) -> None:
    """Refuse a key's value unless a condition holds; `need` says what the value must be."""
    if not holds:
        raise InputError(f"{key}: {value} is out of range; it must be {need}")
