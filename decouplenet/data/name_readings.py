"""Names of files as programs write them, and the files of this machine that they may mean."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

from decouplenet.image_suffixes import has_image_suffix, split_suffix

LABEL_STUDIO = re.compile(r"data/local-files/?\?(?:.*&)?d=([^&#]+)")
"""The address that Label Studio gives to a file of the machine it runs on."""
STUDIO = "as paths of Label Studio"
FOLDERS = "without leading folders"
SPELLING = "in another case or Unicode form"
SUFFIX = "with the suffix of the file"
MAX_FILES = 1_000_000
"""Maximum number of files among which a name is looked for. More take too long to list."""
SUBFOLDER = "in a folder of the image folder"


class _Change(NamedTuple):
    """A change of a name that other programs make necessary."""

    label: str
    apply: Callable[[str], str]


CHANGES = (
    _Change("without outer quotes and blanks", lambda name: name.strip().strip("\"'").strip()),
    _Change("with / for \\", lambda name: name.replace("\\", "/")),
    _Change("with %-codes decoded", unquote),
)
"""All of them are tried, alone and together."""


def label_studio_path(name: str) -> str | None:
    """The path in an address of Label Studio; None for any other name."""
    match = LABEL_STUDIO.search(name)
    return unquote(match[1]).lstrip("/") if match else None


def spellings(name: str) -> dict[str, tuple[str, ...]]:
    """The texts that a name may stand for, itself first, and what is changed for each."""
    path = label_studio_path(name)
    texts: dict[str, tuple[str, ...]] = {name: ()} if path is None else {path: (STUDIO,)}
    for change in CHANGES:
        for text, labels in list(texts.items()):
            texts.setdefault(change.apply(text), (*labels, change.label))
    return texts


class Listing:
    """The names in a folder, which is read once. On a network file system that is faster than asking for each file."""

    def __init__(self, folder: str) -> None:
        self.files, self._folders = set[str](), set[str]()
        try:
            for entry in os.scandir(folder or "/"):
                (self._folders if entry.is_dir() else self.files).add(entry.name)
        except (OSError, ValueError):  # there is no such folder, or its name cannot be one
            pass

    def files_like(self, name: str) -> Sequence[str]:
        """The file `name`; if there is none, those spelt alike; if it has no suffix of images, those with its stem."""
        if name in self.files:
            return [name]
        alike = self._files_by_spelling.get(_key(name), [])
        return alike if alike or has_image_suffix(name) else self.images_with_stem(name)

    def folders_like(self, name: str) -> Sequence[str]:
        """The folder `name`; if there is none, those spelt alike."""
        return [name] if name in self._folders else self._folders_by_spelling.get(_key(name), [])

    def images_with_stem(self, stem: str) -> Sequence[str]:
        """The images that are called `stem` and a suffix."""
        return self._images_by_stem.get(_key(stem), [])

    @cached_property
    def _files_by_spelling(self) -> dict[str, list[str]]:
        return _grouped((_key(name), name) for name in self.files)

    @cached_property
    def _folders_by_spelling(self) -> dict[str, list[str]]:
        return _grouped((_key(name), name) for name in self._folders)

    @cached_property
    def _images_by_stem(self) -> dict[str, list[str]]:
        return _grouped((_key(split_suffix(name)[0]), name) for name in self.files if has_image_suffix(name))


class Finder:
    """Finds the files that names stand for.

    Args:
        root: the folder of relative names.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._listings: dict[str, Listing] = {}

    def listing(self, folder: str) -> Listing:
        """The names in a folder."""
        if folder not in self._listings:
            self._listings[folder] = Listing(folder)
        return self._listings[folder]

    def path(self, name: str) -> str:
        """The path of a name, read as it stands."""
        return name if name.startswith("/") else f"{self.root}/{name}"

    def exists(self, path: str) -> bool:
        """Whether there is a file, or a link, with exactly this path."""
        folder, _, name = path.rpartition("/")
        return name in self.listing(folder).files

    def readings(self, name: str) -> dict[str, tuple[str, ...]]:
        """The paths of files that a name may mean where no file has it, and what is changed for each reading."""
        path = label_studio_path(name)
        if path is not None and self.exists(self.path(path)):
            return {self.path(path): (STUDIO,)}
        paths: dict[str, tuple[str, ...]] = {}
        for text, labels in spellings(name).items():
            absolute = text.startswith("/")
            parts = [part for part in text.split("/") if part not in ("", ".")]
            if parts and (absolute or ".." in parts):
                folder = "/".join([self.root * (not absolute), *parts[:-1]])
                for file in self._files(folder, parts[-1:]):
                    paths.setdefault(file, labels + _respelt(file, parts[-1]))
            for start in range(len(parts)):
                shorter = (FOLDERS,) if start or absolute else ()
                for file in self._files(self.root, parts[start:]):
                    paths.setdefault(file, labels + shorter + _respelt(file, "/".join(parts[start:])))
        if not paths and not name.startswith("/"):
            for path in self._everywhere.get(name.replace("\\", "/").rpartition("/")[2], ()):
                paths[path] = (SUBFOLDER,)
        return paths

    @cached_property
    def _everywhere(self) -> dict[str, list[str]]:
        """The files in all folders of the root, by name. They are read only if a file is found in no other way."""
        files = ((name, f"{folder}/{name}") for folder, _, names in os.walk(self.root or "/") for name in names)
        listed = list(islice(files, MAX_FILES + 1))
        return _grouped(iter(listed)) if len(listed) <= MAX_FILES else {}

    def _files(self, folder: str, parts: Sequence[str]) -> Iterator[str]:
        """The files in a folder with a path, or one that is spelt alike."""
        if len(parts) == 1:
            yield from (f"{folder}/{name}" for name in self.listing(folder).files_like(parts[0]))
        else:
            for name in self.listing(folder).folders_like(parts[0]):
                yield from self._files(f"{folder}/{name}", parts[1:])


def _respelt(path: str, name: str) -> tuple[str, ...]:
    """What is changed from a name to the end of the path that was paths for it."""
    if path.endswith(f"/{name}"):
        return ()
    stem = split_suffix(path)[0]
    return (SUFFIX,) if stem.endswith(f"/{name}") else (SPELLING,)


def _key(name: str) -> str:
    """A name without what file systems change: its case, and how it composes letters and accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _grouped(pairs: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key, name in pairs:
        groups.setdefault(key, []).append(name)
    return {key: sorted(names) for key, names in groups.items()}
