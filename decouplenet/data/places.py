"""Where an image or a table is: a file of this machine, or an address (`s3://`, `gs://`, `https://`, ...)."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from decouplenet.errors import InputError

Place = Path | str
"""A path, or an address as a string."""


def is_address(place: Place) -> bool:
    """Whether a place is not on this machine."""
    return isinstance(place, str) and "://" in place


def place_of(name: str, folder: Place | None) -> Place:
    """The place that a name means: an address or an absolute path as it is, else in the folder."""
    if is_address(name):
        return name
    if folder is None or Path(name).expanduser().is_absolute():
        return Path(name).expanduser()
    if isinstance(folder, str) and is_address(folder):
        base, question, query = folder.partition("?")
        return f"{posixpath.join(base, name)}{question}{query}"
    return Path(folder) / name


def shown(place: Place) -> str:
    """A place as a message names it: without what an address may carry of keys."""
    text = str(place)
    if not is_address(place):
        return text
    scheme, _, rest = text.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def read_bytes(place: Place) -> bytes:
    """The content of a place: s3 and gs through pyarrow, http and https through the standard library.

    Raises:
        OSError: it cannot be read.
    """
    if not is_address(place):
        return Path(place).read_bytes()
    address = str(place)
    if address.startswith(("http://", "https://")):
        from urllib.request import urlopen

        with urlopen(address, timeout=60) as answer:  # noqa: S310 - http and https alone
            content: bytes = answer.read()
            return content
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem

    try:
        system, path = FileSystem.from_uri(address)
    except ArrowInvalid as error:
        raise OSError(str(error)) from None
    with system.open_input_stream(path) as stream:
        read: bytes = stream.read()
        return read


def missing_of(places: Sequence[Place], key: str) -> list[str]:
    """What to say of the places that are no file of this machine; addresses are not asked.

    Each folder is listed once, which on a network is quicker than to ask for each file.
    """
    there: dict[Path, set[str]] = {}
    missing: dict[Path, list[str]] = {}
    for place in places:
        if isinstance(place, str):
            continue
        folder = place.parent
        if folder not in there:
            there[folder] = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
        if place.name not in there[folder]:
            missing.setdefault(folder, []).append(place.name)
    return [
        f"{key}: {len(names)} of {len(places)} images are not in '{folder}': {', '.join(names[:10])}"
        + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        for folder, names in missing.items()
    ]


def refuse(fault: str) -> None:
    """What a reader does with a fault unless it is to collect them: raise `InputError`."""
    raise InputError(fault)
