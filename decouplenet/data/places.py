"""Places of images and tables: files on this machine, or addresses (`s3://`, `https://`, ...); reading them."""

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
"""A path on this machine, or an address as a string."""
PAUSES = (0.5, 2.0)
"""Seconds before the second and the third attempt to read an address."""


def is_address(place: Place) -> bool:
    """Whether a place is an address, not a path on this machine."""
    return isinstance(place, str) and "://" in place


def place_of(name: str, folder: Place | None) -> Place:
    """The place that a name stands for: an address or absolute path unchanged, other names relative to the folder."""
    if is_address(name):
        return name
    if folder is None or Path(name).is_absolute():
        return Path(name)
    if isinstance(folder, str) and is_address(folder):
        base, question, query = folder.partition("?")
        return f"{base.rstrip('/')}/{name}{question}{query}"
    return Path(folder).expanduser() / name


def image_folder(images: Place, key: str, hint: str) -> Place:
    """The folder or address that holds the images. An address is not checked.

    Args:
        images: the value of the config key.
        key: start of the config keys for messages: `data.train` or `data.val`.
        hint: the advice for the message.

    Raises:
        InputError: there is no such folder on this machine.
    """
    if is_address(images):
        return images
    folder = Path(images).expanduser()
    if not folder.is_dir():
        raise InputError(f"{key}_images: no folder '{images}'; give {hint}")
    return folder


def shown(place: Place) -> str:
    """A place for use in messages: an address without its access keys."""
    text = str(place)
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    user, at_sign, host = host.rpartition("@")
    # In Azure addresses the container is before the @, followed by a colon and the key if there is one.
    container = f"{user.partition(':')[0]}{at_sign}" if scheme.startswith("abfs") else ""
    return f"{scheme}://{container}{host}{slash}{path}"


def read_bytes(place: Place) -> bytes:
    """The content of a place. http and https use the standard library, other addresses use pyarrow.

    An address is tried up to three times, unless the error is permanent.

    Raises:
        OSError: the place cannot be read. The message does not contain access keys of the address.
    """
    if not is_address(place):
        return Path(place).read_bytes()
    from http.client import HTTPException

    address, pauses = str(place), iter(PAUSES)
    read = _read_web if address.startswith(("http://", "https://")) else _read_storage
    while True:
        try:
            return read(address)
        except (OSError, ValueError, HTTPException) as error:  # pyarrow's errors are of these types
            pause = None if _is_permanent(error) else next(pauses, None)
            if pause is None:
                reason = str(error).replace(address, shown(place)).partition("\n")[0]
                if address.partition("?")[0] in reason or "@" in reason:
                    reason = type(error).__name__
                raise OSError(reason) from None
        sleep(pause)


def _is_permanent(error: Exception) -> bool:
    """Whether another attempt would fail too: the address is invalid, nothing is there, or access is denied."""
    from http.client import InvalidURL

    code = getattr(error, "code", None)
    if isinstance(code, int):  # an HTTP status; these three ask to try later
        return 400 <= code < 500 and code not in (408, 425, 429)
    return isinstance(error, (ValueError, InvalidURL, FileNotFoundError, PermissionError))


def _read_web(address: str) -> bytes:
    from urllib.request import urlopen

    parts = urlsplit(address)
    safe = "/%:=&?~#+!$,;'@()*[]"
    address = urlunsplit((parts.scheme, parts.netloc, quote(parts.path, safe), quote(parts.query, safe), ""))
    with urlopen(address, timeout=60) as response:  # noqa: S310 - only http and https
        content: bytes = response.read()
    return content


def _read_storage(address: str) -> bytes:
    """Read from object storage. The key is not unquoted: file names may have signs that are not valid in a URI."""
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

    system_and_root: tuple[Any, str] = FileSystem.from_uri(address)
    return system_and_root


def read_lines(file: Path, key: str) -> list[str]:
    """The lines of a text file, stripped of blanks, without empty lines.

    Args:
        file: the file, in UTF-8.
        key: the config key that names the file, for messages.

    Raises:
        InputError: the file cannot be read, or is not text in UTF-8.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise InputError(f"{key}: '{file}' cannot be read ({reason}); give another file") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def missing_files(places: Sequence[Place], key: str) -> list[str]:
    """Faults of places that do not exist on this machine, one per folder. Addresses are not checked.

    Each folder is listed once. On a network file system that is faster than a check of each file.

    Args:
        places: files and addresses.
        key: the config key that names their folder, for messages.
    """
    files: dict[Path, set[str]] = {}
    missing: dict[Path, list[str]] = {}
    for place in places:
        if isinstance(place, str):
            continue
        folder = place.parent
        if folder not in files:
            try:
                files[folder] = {entry.name for entry in os.scandir(folder) if not entry.is_dir()}
            except OSError:
                files[folder] = set()
        if place.name not in files[folder]:
            missing.setdefault(folder, []).append(place.name)
    return [
        f"{key}: {len(names)} of {len(places)} images are not in '{folder}': {', '.join(names[:10])}"
        + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        for folder, names in missing.items()
    ]


def refuse(fault: str) -> None:
    """The default `on_fault` of the readers: raise the fault as an `InputError`."""
    raise InputError(fault)
