"""The images of a check: which cannot be decoded, what decoding changes, and a digest of each content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from decouplenet.config import DataConfig
from decouplenet.data.cache import Progress, threads_for
from decouplenet.data.images.decoding import Decoded, Decoding, decode
from decouplenet.data.places import Place, read_bytes, shown
from decouplenet.errors import InputError
from decouplenet.wording import counted, examples


@dataclass
class CheckedImages:
    """What is known of images after they were decoded; empty where they were not."""

    digests: dict[Place, str] = field(default_factory=dict)
    """A digest of each content that could be read."""
    broken: dict[Place, str] = field(default_factory=dict)
    """The faults of the images that cannot be read or decoded."""
    missing: list[Place] = field(default_factory=list)
    """Files that are not there. The readers of labels report them."""
    turned: dict[Place, tuple[int, int]] = field(default_factory=dict)
    """Width and height in pixels of each image that EXIF turns upright."""
    changes: dict[str, list[Place]] = field(default_factory=dict)
    """The images by what decoding does to them."""

    def notes(self) -> list[str]:
        """One note for each kind of change, with examples."""
        notes = []
        if self.turned:
            count, listed = counted(len(self.turned), "image"), examples([shown(place) for place in self.turned])
            verb = "is" if len(self.turned) == 1 else "are"
            notes.append(f"{count} {verb} turned upright, as the EXIF orientation says (data.exif): {listed}")
        for change, places in self.changes.items():
            notes.append(f"{counted(len(places), 'image')}: {change}: {examples([shown(place) for place in places])}")
        return notes


class _Result(NamedTuple):
    """What is known of an image."""

    digest: str | None = None
    decoded: Decoded | None = None
    fault: str | None = None


def check_images(places: Sequence[Place], config: DataConfig, progress: Progress | None = None) -> CheckedImages:
    """Read and decode images.

    Args:
        places: the images.
        config: says how to decode.
        progress: called with (done, all).
    """
    decoding = Decoding.of(config)

    def examine(place: Place) -> _Result | None:
        if isinstance(place, Path) and not place.exists():
            return None
        try:
            content = read_bytes(place)
        except OSError as error:
            return _Result(fault=f"{shown(place)}: cannot be read ({error.strerror or error})")
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        try:
            decoded = decode(place, config.image_size, decoding, content)
        except InputError as error:
            return _Result(digest, fault=str(error))
        return _Result(digest, decoded._replace(pixels=decoded.pixels[:0]))  # the pixels are not needed

    checked = CheckedImages()
    with ThreadPoolExecutor(threads_for(places, config.workers)) as pool:
        for done, (place, result) in enumerate(zip(places, pool.map(examine, places), strict=True), start=1):
            _add(checked, place, result)
            if progress:
                progress(done, len(places))
    return checked


def _add(checked: CheckedImages, place: Place, result: _Result | None) -> None:
    if result is None:
        checked.missing.append(place)
        return
    if result.digest:
        checked.digests[place] = result.digest
    if result.fault:
        checked.broken[place] = result.fault
    if result.decoded is not None:
        if result.decoded.turned:
            checked.turned[place] = (result.decoded.width, result.decoded.height)
        for change in result.decoded.notes:
            checked.changes.setdefault(change, []).append(place)
