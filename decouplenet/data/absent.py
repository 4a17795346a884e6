"""The files and folders that a config's data needs and that are not on this machine. Nothing is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from decouplenet.config import DataConfig
from decouplenet.data.formats import BUILT_IN
from decouplenet.data.places import is_address, shown

UNCHECKED = "elsewhere://images"
"""An address for images that are not here. Readers of labels do not look at addresses of images."""


class AbsentPlace(NamedTuple):
    """A place of the config that is not given, or not on this machine."""

    problem: str
    """A clause that names the key."""
    advice: str
    """What to do."""


class AbsentData(NamedTuple):
    """The places of a config's data that are not given, or not on this machine."""

    labels: list[AbsentPlace]
    images: list[AbsentPlace]


def absent_data(config: DataConfig) -> AbsentData:
    """The places of a config's data that are not given, or not on this machine. Addresses are not checked.

    Args:
        config: the config of the data. Nothing is known of the format of an extension, so no place of it is absent.
    """
    if config.format not in BUILT_IN or config.format == "synthetic":
        return AbsentData([], [])
    splits = ("train", "val") if config.val_annotations else ("train",)
    labels, images = (
        [place for split in splits if (place := _absent_place(config, f"{split}_{kind}"))]
        for kind in ("annotations", "images")
    )
    return AbsentData(labels, images)


def labels_alone(config: DataConfig) -> DataConfig:
    """The config for reading the labels where the images are absent."""
    return replace(config, train_images=UNCHECKED, val_images=UNCHECKED)


def _absent_place(config: DataConfig, name: str) -> AbsentPlace | None:
    value, key = getattr(config, name), f"data.{name}"
    if not value:
        advice = f"data.format {config.format} needs it; give it with --{key}"
        return AbsentPlace(f"{key} is not given", advice) if name in BUILT_IN[config.format].required else None
    if is_address(value) or Path(value).expanduser().exists():
        return None
    advice = f"put it there, or give another place with --{key}"
    return AbsentPlace(f"{key} '{shown(value)}' is not on this machine", advice)
