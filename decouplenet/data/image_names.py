"""From the names of images in a list of labels to their places.

Most names are paths in the folder of the images. Where no file has a name, other readings of it are tried
(`name_readings.py`): how a program wrote it, or how a file system changed it. A name is read so only where exactly one
file is possible, and no other name means that file.
"""

from __future__ import annotations

import difflib
import os
import unicodedata
from bisect import bisect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from decouplenet.data.name_readings import Finder, label_studio_path
from decouplenet.data.places import Place, Source, is_address, place_of
from decouplenet.data.reporter import Reporter
from decouplenet.image_suffixes import has_image_suffix, split_suffix
from decouplenet.wording import counted, examples

MAX_NAMES = 10
"""Maximum number of missing images that a message names."""
NEIGHBOURS = 100
"""Files before and after a missing one, by name, that may be the nearest one. To compare all files takes seconds."""
STEM = "by the name of the XML file"


class Readings(NamedTuple):
    """What was found for names that no file has."""

    paths: dict[int, str]
    """The files, by index of the name."""
    labels: dict[int, str]
    """How these names are read."""
    doubts: dict[int, str]
    """Why other names are not read: several files are possible, or several names would mean the same file."""


def image_places(
    names: Sequence[str],
    folder: Source | None,
    *,
    key: str,
    suffix: str | None,
    reporter: Reporter,
    stems: Sequence[str] = (),
) -> tuple[Place, ...]:
    """The places of images, in the order of their names. Names of files that are not there are faults.

    Args:
        names: N names as the list writes them.
        folder: the folder or address of relative names. What is at addresses is not checked.
        key: start of the config keys for messages: `data.train`, `data.val` or `data.test`.
        suffix: `data.suffix`, the suffix of names without one; None if it is not given.
        reporter: gets faults and notes.
        stems: N other names without suffix, those of VOC's XML files, for names that no file has; may be empty.
    """
    end = suffix_of(suffix)
    at_address = folder is not None and is_address(folder)
    root = Path(folder or "").expanduser()
    finder = Finder(str(folder if at_address else root))  # at an address, it finds only absolute paths
    places: list[Place] = []
    missing: dict[int, dict[str, str]] = {}
    for i, name in enumerate(names):
        if finder.exists(finder.path(name)):
            places.append(root / name)
            continue
        is_complete = not end or has_image_suffix(name) or is_address(name)
        text = name if is_complete else f"{name}{end}"
        if finder.exists(finder.path(text)):
            places.append(root / text)
            continue
        place = place_of(label_studio_path(text) or text, folder if at_address else root)
        places.append(place)
        if isinstance(place, Path):
            missing[i] = {f"{stem}{end}": STEM for stem in stems[i : i + 1]} | {text: ""}
    readings = other_readings(names, missing, places, finder)
    note_readings(names, readings, finder, f"{key}_images", reporter)
    unread = {
        i: place
        for i, place in enumerate(places)
        if i in missing and i not in readings.paths and isinstance(place, Path)
    }
    for fault in _missing(unread, len(places), readings, finder, f"{key}_images"):
        reporter.fault(fault)
    for i, path in readings.paths.items():
        places[i] = Path(path)
    return tuple(places)


def suffix_of(suffix: str | None) -> str:
    """`data.suffix` as it stands behind a name: `jpg` and `.jpg` are the same, `_green.png` stays. Empty if none."""
    return "" if not suffix else suffix if "." in suffix else f".{suffix}"


def other_readings(
    names: Sequence[str], queries: Mapping[int, Mapping[str, str]], places: Sequence[Place], finder: Finder
) -> Readings:
    """The files for names that no file has.

    Args:
        names: N names as the list writes them.
        queries: by index of the name, the texts that may name its file, and how it is read then (empty: as it stands).
        places: the places of the N names, as they stand.
        finder: finds the files.
    """
    readings = Readings({}, {}, {})
    for i, query in queries.items():
        files: dict[str, str] = {}
        for text, label in query.items():
            for path, labels in finder.readings(text).items():
                files[path] = ", ".join(filter(None, (label, *labels)))
        if len(files) > 1:  # paths may lead to the same file
            files = {path: files[path] for path in {os.path.realpath(path): path for path in files}.values()}
        if len(files) == 1:
            ((readings.paths[i], label),) = files.items()
            readings.labels[i] = label or "without the / at the end"
        elif files:
            name, *possible = _quoted(names[i], *(_relative(path, finder) for path in files))
            readings.doubts[i] = f"{name} may be {' or '.join(possible[:3])}"
    _refuse_shared(names, queries, places, finder, readings)
    return readings


def _refuse_shared(
    names: Sequence[str],
    queries: Mapping[int, Mapping[str, str]],
    places: Sequence[Place],
    finder: Finder,
    readings: Readings,
) -> None:
    """Take back the readings of names that would mean the file of another name."""
    owners: dict[str, dict[tuple[str, ...], int]] = {path: {} for path in readings.paths.values()}
    for i, place in enumerate(places if owners else ()):
        path = readings.paths.get(i) or str(place)
        if path in owners and (i in readings.paths or i not in queries):
            owners[path].setdefault((names[i], *queries.get(i, ())), i)
    for i, path in list(readings.paths.items()):
        if len(owners[path]) > 1:
            first, second, *_ = owners[path].values()
            first_name, second_name, file = _quoted(names[first], names[second], _relative(path, finder))
            readings.doubts[i] = f"{first_name} and {second_name} would both be read as {file}"
            del readings.paths[i], readings.labels[i]


def note_readings(names: Sequence[str], readings: Readings, finder: Finder, where: str, reporter: Reporter) -> None:
    """Note how many names are read in each way, with an example."""
    groups: dict[str, list[int]] = {}
    for i, label in readings.labels.items():
        groups.setdefault(label, []).append(i)
    for label, indices in groups.items():
        name, file = _quoted(names[indices[0]], _relative(readings.paths[indices[0]], finder))
        verb = "is" if len(indices) == 1 else "are"
        reporter.note(f"{where}: {counted(len(indices), 'name')} {verb} read {label}: {name} is read as {file}")


def _missing(missing: Mapping[int, Path], count: int, readings: Readings, finder: Finder, key: str) -> list[str]:
    """Faults of files that do not exist, one per folder.

    Args:
        missing: their places, by index of the name.
        count: number of all images.
        readings: has the doubts about their names.
        finder: lists the folders.
        key: the config key that names their folder, for messages.
    """
    folders: dict[Path, list[int]] = {}
    for i, path in missing.items():
        folders.setdefault(path.parent, []).append(i)
    faults = []
    for folder, indices in folders.items():
        names = [missing[i].name for i in indices]
        others = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        doubts = [readings.doubts[i] for i in indices if i in readings.doubts]
        hint = examples(doubts) if doubts else _nearest(names[0], folder, finder)
        faults.append(
            f"{key}: {len(names)} of {count} images are not in '{folder}': "
            f"{', '.join(map(repr, names[:MAX_NAMES]))}{others}{hint and f'; {hint}'}"
        )
    return faults


def _nearest(name: str, folder: Path, finder: Finder) -> str:
    """A hint with the file whose name is nearest to a missing one; empty if none is similar."""
    files = sorted(finder.listing(str(folder)).files or finder.listing(finder.root).files)
    place = bisect(files, name)
    near = files[max(place - NEIGHBOURS, 0) : place + NEIGHBOURS]
    stems = {split_suffix(file)[0]: file for file in near}
    close = difflib.get_close_matches(split_suffix(name)[0], stems, n=1)
    return "the nearest file to {} is {}".format(*_quoted(name, stems[close[0]])) if close else ""


def _relative(path: str, finder: Finder) -> str:
    """A path as a list would write it: from the folder of the images, if it is there."""
    return path.removeprefix(f"{finder.root}/")


def _quoted(*texts: str) -> list[str]:
    """Texts in quotes, as Python writes them, so that blanks can be told apart; accents too, where they differ."""
    composed = all(unicodedata.is_normalized("NFC", text) for text in texts)
    return [repr(text) if composed else ascii(text) for text in texts]
