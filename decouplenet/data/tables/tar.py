"""Tar shards in WebDataset's form: the files of an image have one name and differ in their suffixes.

`000001.jpg` is the image, `000001.cls` its class or classes, `000001.txt` its labels as text, `000001.json` a mapping
of columns to cells. A shard in object storage is read once from start to end for the labels, and in large blocks for
the images: read them in order.
"""

from __future__ import annotations

import functools
import json
import tarfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decouplenet.data.places import Inside, Source, is_address, open_seekable, shown
from decouplenet.data.tables.rows import Rows
from decouplenet.image_suffixes import IMAGE_SUFFIXES

BLOCK = 32 * 2**20
"""Bytes that are read at a time from object storage."""
BLOCKS = 4
"""Maximum number of blocks in memory."""
IMAGE = "image"
"""The column of the images."""
_LOADING = threading.Lock()


@dataclass(frozen=True, slots=True)
class InTar(Inside):
    """An image in a tar file without compression."""

    file: Source
    name: str
    offset: int
    """First byte of the image."""
    size: int
    """Bytes of the image."""

    @property
    def part(self) -> str:
        """The bytes, which tell the image from the others of the file."""
        return f"{self.offset} {self.size}"

    def read(self) -> bytes:
        """The image's content."""
        if not is_address(self.file):
            with Path(self.file).open("rb") as stream:
                stream.seek(self.offset)
                return stream.read(self.size)
        first, last = self.offset // BLOCK, (self.offset + self.size - 1) // BLOCK
        with _LOADING:  # threads that need the same block wait for the first
            content = b"".join(_block(self.file, number) for number in range(first, last + 1))
        start = self.offset - first * BLOCK
        return content[start : start + self.size]


@functools.lru_cache(maxsize=BLOCKS)
def _block(file: Source, number: int) -> bytes:
    with open_seekable(file) as stream:
        stream.seek(number * BLOCK)
        content: bytes = stream.read(BLOCK)
    return content


def read_tar(file: Source) -> Rows:
    """The samples of a tar shard: a column `image`, and one per suffix and per key of their JSON.

    A sample without an image is left out.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is no tar file, is compressed, or a sample's JSON is damaged.
    """
    samples = _samples(file)
    names = list(dict.fromkeys(name for sample in samples for name in sample))
    columns = [[sample.get(name) for sample in samples] for name in names]
    return Rows(names, columns, range(1, len(samples) + 1))


def _samples(file: Source) -> list[dict[str, Any]]:
    """The samples of a shard, by column."""
    samples: dict[str, dict[str, Any]] = {}
    try:
        with open_seekable(file) as stream, tarfile.open(fileobj=stream, mode="r|", bufsize=2**20) as archive:
            for member in archive:
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                if not member.isfile() or not stem or not suffix:
                    continue
                sample = samples.setdefault(f"{folder}/{stem}", {})
                suffix = suffix.lower()
                if f".{suffix}" in IMAGE_SUFFIXES:
                    sample[IMAGE] = InTar(file, member.name, member.offset_data, member.size)
                elif suffix in ("json", "cls", "txt", "labels"):
                    content = archive.extractfile(member)
                    sample |= _cells(suffix, content.read() if content else b"", f"{shown(file)}: {member.name}")
    except tarfile.TarError as error:
        raise ValueError(f"'{shown(file)}' is no tar file without compression: {error}") from None
    return [sample for sample in samples.values() if IMAGE in sample]


def _cells(suffix: str, content: bytes, where: str) -> dict[str, Any]:
    """The cells that a member of a sample stands for, by column."""
    text = content.decode("utf-8").strip()
    if suffix != "json":
        return {suffix: text.splitlines() if "\n" in text else text}
    try:
        cells = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where}: no JSON ({error})") from None
    return {str(name): cell for name, cell in cells.items()} if isinstance(cells, dict) else {"labels": cells}
