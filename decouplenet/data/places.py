"""Where an image or a table is: a file of this machine, or an address (`s3://`, `gs://`, `https://`, ...)."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from decouplenet.errors import InputError

Place = Path | str
"""A path, or an address as a string."""
PAUSES = (0.5, 2.0)
"""Seconds before an address is tried a second and a third time."""


def is_address(place: Place) -> bool:
    """Whether a place is not on this machine."""
    return isinstance(place, str) and "://" in place


def place_of(name: str, folder: Place | None) -> Place:
    """The place that a name means: an address or an absolute path as it is, else in the folder."""
    if is_address(name):
        return name
    if folder is None or Path(name).is_absolute():
        return Path(name)
    if isinstance(folder, str) and is_address(folder):
        base, question, query = folder.partition("?")
        return f"{base.rstrip('/')}/{name}{question}{query}"
    return Path(folder).expanduser() / name


def image_folder(images: Place, key: str, hint: str) -> Place:
    """What the images are in: an address as it is, which is not asked, or a folder of this machine.

    Args:
        images: what the config has.
        key: the config keys' beginning, for messages: `data.train` or `data.val`.
        hint: what to give in its place.

    Raises:
        InputError: no folder of this machine.
    """
    if is_address(images):
        return images
    folder = Path(images).expanduser()
    if not folder.is_dir():
        raise InputError(f"{key}_images: no folder '{images}'; give {hint}")
    return folder


def shown(place: Place) -> str:
    """A place as a message names it: without what an address may carry of keys."""
    text = str(place)
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    before, at, host = host.rpartition("@")
    # Azure has the container there, and a key only after a colon.
    container = f"{before.partition(':')[0]}{at}" if scheme.startswith("abfs") else ""
    return f"{scheme}://{container}{host}{slash}{path}"


def read_bytes(place: Place) -> bytes:
    """The content of a place: http and https through the standard library, other addresses through pyarrow.

    An address is tried three times where the fault may pass.

    Raises:
        OSError: it cannot be read; the reason has no key that an address may carry.
    """
    if not is_address(place):
        return Path(place).read_bytes()
    from http.client import HTTPException

    address, pauses = str(place), iter(PAUSES)
    read = _read_web if address.startswith(("http://", "https://")) else _read_storage
    while True:
        try:
            return read(address)
        except (OSError, ValueError, HTTPException) as error:  # pyarrow's errors are of these
            pause = None if _stays(error) else next(pauses, None)
            if pause is None:
                reason = str(error).replace(address, shown(place)).partition("\n")[0]
                if address.partition("?")[0] in reason or "@" in reason:
                    reason = type(error).__name__
                raise OSError(reason) from None
        sleep(pause)


def _stays(error: Exception) -> bool:
    """Whether another try would end the same: no such name, nothing there, or no right to it."""
    from http.client import InvalidURL

    code = getattr(error, "code", None)
    if isinstance(code, int):  # of an HTTP answer; these three mean that later is better
        return 400 <= code < 500 and code not in (408, 425, 429)
    return isinstance(error, (ValueError, InvalidURL, FileNotFoundError, PermissionError))


def _read_web(address: str) -> bytes:
    from urllib.request import urlopen

    parts = urlsplit(address)
    safe = "/%:=&?~#+!$,;'@()*[]"
    address = urlunsplit((parts.scheme, parts.netloc, quote(parts.path, safe), quote(parts.query, safe), ""))
    with urlopen(address, timeout=60) as answer:  # noqa: S310 - http and https alone
        content: bytes = answer.read()
    return content


def _read_storage(address: str) -> bytes:
    """The key after the bucket is taken as it is: file names have blanks and signs that an address must not."""
    base, question, query = address.partition("?")
    scheme, _, rest = base.partition("://")
    host, _, key = rest.partition("/")
    system, root = _filesystem(f"{scheme}://{host}{question}{query}")
    with system.open_input_stream(f"{root.rstrip('/')}/{key}") as stream:
        content: bytes = stream.read()
    return content


@functools.lru_cache(maxsize=16)
def _filesystem(address: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem

    found: tuple[Any, str] = FileSystem.from_uri(address)
    return found


def read_lines(file: Path, key: str) -> list[str]:
    """The lines of a text file that are not empty, without blanks around them.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text in UTF-8"
        raise InputError(f"{key}: '{file}' cannot be read ({reason})") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


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
            try:
                there[folder] = {entry.name for entry in os.scandir(folder) if not entry.is_dir()}
            except OSError:
                there[folder] = set()
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
