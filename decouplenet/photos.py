"""The photos that a user names: files, addresses, folders, and a list from stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from decouplenet.data.places import is_address
from decouplenet.errors import InputError
from decouplenet.image_suffixes import IMAGE_SUFFIXES, has_image_suffix

STDIN = "-"
"""Stands for a list of photos from stdin, one per line."""


def named_photos(arguments: Sequence[str]) -> Iterator[str]:
    """The photos that arguments name, one by one. A list from stdin is read line by line.

    Args:
        arguments: files, addresses, folders (all photos in them and in their folders, sorted by path), or `-`.

    Raises:
        InputError: a folder has no photo.
    """
    for argument in arguments:
        if argument == STDIN:
            yield from (line.strip() for line in sys.stdin if line.strip())
        elif not is_address(argument) and (folder := Path(argument).expanduser()).is_dir():
            yield from _in_folder(folder)
        else:
            yield argument


def _in_folder(folder: Path) -> list[str]:
    files = (file for file in folder.rglob("*") if has_image_suffix(file.name) and file.is_file())
    photos = sorted(str(file) for file in files)
    if not photos:
        raise InputError(f"'{folder}' has no photo ({' '.join(sorted(IMAGE_SUFFIXES))}); name another folder")
    return photos
