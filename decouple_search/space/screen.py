"""How many heads a search screens, which is to train them on feature maps of the frozen backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from decouple_search.space.parts import checked_count, mapping_at
from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError

AUTO = "auto"
OFF = "off"
MOST_SCREENED = 128
"""auto: the most heads that are screened."""


@dataclass(frozen=True)
class ScreenPlan:
    """The screened trials of a search. Each trains a head on feature maps that the backbone computed once."""

    count: int | None = None
    """The number of screened trials; None lets the search choose as it learns what they are worth."""
    epochs: int = 4
    """The epochs of a screened trial."""
    images: int | None = None
    """The images whose feature maps heads are trained and measured on; None for as many as `max_gb` allows."""
    max_gb: float = 16.0
    """The most gigabytes of feature maps, unless `images` is given."""
    warm_heads: bool = True
    """Whether a full trial trains its head in the same way first (`train.head_epochs`)."""

    def share(self, images: int, map_bytes: int) -> float:
        """The share of the images that are used.

        Args:
            images: the number of training and validation images.
            map_bytes: the bytes of an image's feature map.
        """
        used = self.images or int(self.max_gb * 1e9 / map_bytes)
        return min(1.0, used / images)

    @property
    def most(self) -> int:
        """The most heads that are screened."""
        return self.count or MOST_SCREENED


def read_screen(spec: Any, where: str) -> ScreenPlan | None:
    """The screening of a space: `{count: 64, epochs: 4}`, or `auto` or `off` alone; None for off.

    Raises:
        InputError: an unknown key, or a number below 1.
    """
    if isinstance(spec, Mapping):
        given = mapping_at(spec, where)
        names = [field.name for field in fields(ScreenPlan)]
        for key in given:
            if key not in names:
                raise InputError(f"{where}: unknown key '{key}'; {nearest(str(key), names)}")
        count = given.get("count", AUTO)
        epochs = checked_count(given.get("epochs", ScreenPlan.epochs), f"{where}, epochs")
        warm, max_gb = given.get("warm_heads", ScreenPlan.warm_heads), given.get("max_gb", ScreenPlan.max_gb)
        if not isinstance(warm, bool):
            raise InputError(f"{where}, warm_heads: '{warm}' is neither true nor false")
        if isinstance(max_gb, bool) or not isinstance(max_gb, (int, float)) or not max_gb > 0:
            raise InputError(f"{where}, max_gb: '{max_gb}' is not a number above 0")
        images = given.get("images")
        return ScreenPlan(
            count=None if count == AUTO else checked_count(count, f"{where}, count"),
            epochs=epochs,
            images=None if images is None else checked_count(images, f"{where}, images"),
            max_gb=float(max_gb),
            warm_heads=warm,
        )
    if spec is None or spec is False or spec == OFF:  # YAML reads off as false
        return None
    return with_count(None, str(spec), where)


def with_count(plan: ScreenPlan | None, text: str, where: str) -> ScreenPlan | None:
    """A plan with the number of a flag: a number, `auto` or `off`; None for off.

    Args:
        plan: gives the other values; None for the defaults.
        text: the number.
        where: its place, for errors.

    Raises:
        InputError: the text is something else.
    """
    if text == OFF:
        return None
    if text != AUTO and not (text.isdecimal() and int(text) > 0):
        raise InputError(f"{where}: '{text}' is no number of screened trials; give a number from 1, auto or off")
    return replace(plan or ScreenPlan(), count=None if text == AUTO else int(text))
