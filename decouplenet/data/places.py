"""Places of images and tables: files, addresses (`s3://`, `https://`, ...), parts of a large file; reading them."""

from __future__ import annotations

import functools
import io
from abc import ABC, abstractmethod
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from decouplenet.errors import InputError

Source = Path | str
"""A file or folder: a path on this machine, or an address as a string."""


class Inside(ABC):
    """An image inside of a file that holds many: a parquet table, a tar shard."""

    file: Source
    """The file that holds it."""
    name: str
    """The image's name in the file."""

    @property
    @abstractmethod
    def part(self) -> str:
        """A text that tells the image from the others of the file."""

    @abstractmethod
    def read(self) -> bytes:
        """The image's content.

        Raises:
            OSError: the file cannot be read.
        """


Place = Source | Inside
"""Where an image is: a file, or a part of a file that holds many."""
PAUSES = (0.5, 2.0)
"""Seconds before the second and the third attempt to read an address."""


def is_address(place: Place) -> bool:
    """Whether a place is an address, not a path on this machine."""
    return isinstance(place, str) and "://" in place


def path_part(source: Source) -> str:
    """A path or address as text, without the part of an address from `?` on. `~` is the home folder."""
    return str(source).partition("?")[0] if is_address(source) else str(Path(source).expanduser())


def place_of(name: str, folder: Source | None) -> Source:
    """The place that a name stands for: an address or absolute path unchanged, other names relative to the folder."""
    if is_address(name):
        return name
    if folder is None or Path(name).is_absolute():
        return Path(name)
    if isinstance(folder, str) and is_address(folder):
        base, question, query = folder.partition("?")
        return f"{base.rstrip('/')}/{name}{question}{query}"
    return Path(folder).expanduser() / name


def image_folder(images: Source, key: str, hint: str) -> Source:
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
    if isinstance(place, Inside):
        return f"{shown(place.file)}: {place.name}"
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
    if isinstance(place, Inside):
        return place.read()
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
                raise _without_keys(error, address) from None
        sleep(pause)


def _without_keys(error: Exception, address: str) -> OSError:
    """An error of an address, with a message that does not contain its access keys."""
    reason = str(error).replace(address, shown(address)).partition("\n")[0]
    if address.partition("?")[0] in reason or "@" in reason:
        reason = type(error).__name__
    return OSError(reason)


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
    system, path = _in_storage(address)
    with system.open_input_stream(path) as stream:
        content: bytes = stream.read()
    return content


def open_seekable(source: Source) -> Any:
    """A binary file to read parts of. Of an address of http and https, the whole content is read first.

    Raises:
        OSError: the file cannot be read.
    """
    if not is_address(source):
        return Path(source).open("rb")
    address = str(source)
    if address.startswith(("http://", "https://")):
        return io.BytesIO(read_bytes(address))
    system, path = _in_storage(address)
    try:
        return system.open_input_file(path)
    except (OSError, ValueError) as error:
        raise _without_keys(error, address) from None


def list_folder(folder: Source) -> list[Source]:
    """The files in a folder, sorted by name. Web addresses cannot be listed.

    Raises:
        OSError: the folder cannot be read.
    """
    if not is_address(folder):
        return sorted(file for file in Path(folder).iterdir() if file.is_file())
    from pyarrow.fs import FileSelector

    address = str(folder)
    system, path = _in_storage(address)
    base, question, query = address.partition("?")
    try:
        names = sorted(info.base_name for info in system.get_file_info(FileSelector(path)) if info.is_file)
    except (OSError, ValueError) as error:
        raise _without_keys(error, address) from None
    return [f"{base.rstrip('/')}/{name}{question}{query}" for name in names]


def _in_storage(address: str) -> tuple[Any, str]:
    """The file system of an address in object storage, and the path in it.

    The key is not unquoted: file names may have signs that are not valid in a URI.
    """
    base, question, query = address.partition("?")
    scheme, _, rest = base.partition("://")
    host, _, key = rest.partition("/")
    system, root = _filesystem(f"{scheme}://{host}{question}{query}")
    return system, f"{root.rstrip('/')}/{key}"


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
