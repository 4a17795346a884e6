"""The files and folders that a config needs and that are not on this machine. Nothing is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from decouplenet.config import Config, DataConfig
from decouplenet.data.formats import BUILT_IN, FORMAT_MISSING
from decouplenet.data.places import is_address, shown
from decouplenet.errors import InputError

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
    if config.format == "synthetic" and config.train_annotations:
        problem, advice = FORMAT_MISSING.split("; ")
        return AbsentData([AbsentPlace(problem, advice)], [])
    if config.format not in BUILT_IN or config.format == "synthetic":
        return AbsentData([], [])
    splits = ["train", *(split for split in ("val", "test") if getattr(config, f"{split}_annotations"))]
    labels, images = (
        [place for split in splits if (place := _absent_place(config, f"{split}_{kind}"))]
        for kind in ("annotations", "images")
    )
    if isinstance(config.classes, str) and (place := _absent_place(config, "classes")):
        labels.append(place)
    return AbsentData(labels, images)


def absent_weights(config: Config) -> list[AbsentPlace]:
    """The weight file of the config, if it is not on this machine."""
    file = config.model.pretrained
    if isinstance(file, bool) or is_address(file) or Path(file).expanduser().is_file():
        return []
    advice = "give a .pth or .safetensors file, true or false"
    return [AbsentPlace(f"model.pretrained: no file '{file}'", advice)]


def check_present(config: Config, *, weights: bool) -> None:
    """Refuse a config whose labels, images or weights are not on this machine. Takes no time.

    Args:
        config: the config.
        weights: whether this machine needs the weight file. On a cluster only the workers do.

    Raises:
        InputError: the first absent place, and what to do.
    """
    absent = absent_data(config.data)
    for place in (*absent.labels, *absent.images, *(absent_weights(config) if weights else ())):
        raise InputError(f"{place.problem}; {place.advice}")


def labels_alone(config: DataConfig) -> DataConfig:
    """The config for reading the labels where the images are absent."""
    return replace(config, train_images=UNCHECKED, val_images=UNCHECKED)


def _absent_place(config: DataConfig, name: str) -> AbsentPlace | None:
    value, key = getattr(config, name), f"data.{name}"
    if not value:
        advice = f"data.format {config.format} needs it; give it with --{key}"
        return AbsentPlace(f"{key} is not given", advice) if name in BUILT_IN[config.format].required else None
    path = Path(value).expanduser()
    is_pattern = "*" in path.name and any(path.parent.glob(path.name))
    if is_address(value) or path.exists() or is_pattern:
        return None
    advice = f"put it there, or give another place with --{key}"
    return AbsentPlace(f"{key} '{shown(value)}' is not on this machine", advice)
