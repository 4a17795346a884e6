"""YAML from a file, an address or text, and the values of flags. Loads plain values only, never Python objects."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from decouplenet.data.places import is_address, read_bytes, shown
from decouplenet.errors import InputError


def load_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping in a YAML file, on this machine or at an address (`s3://...`).

    Raises:
        InputError: the file cannot be read, is not valid YAML (the message names the line), or holds no mapping.
    """
    try:
        content = read_bytes(os.fspath(path) if is_address(os.fspath(path)) else Path(path))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{shown(os.fspath(path))}: cannot be read ({reason}); give the path of a YAML file") from None
    return parse_yaml(content, shown(os.fspath(path)))


def parse_yaml(content: bytes, where: str) -> dict[str, Any]:
    """The mapping in the content of a YAML file.

    Args:
        content: the content, in UTF-8.
        where: the file's name for error messages.

    Raises:
        InputError: as `load_yaml`.
    """
    try:
        loaded = yaml.load(content.decode("utf-8"), Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None
    except (ValueError, KeyError) as error:  # not UTF-8, an impossible date, or a tag on a value of another kind
        raise InputError(f"{where}: not valid YAML ({error})") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise InputError(f"{where}: holds a {type(loaded).__name__}; write a mapping of keys to values")
    return loaded


def parse_value(text: str) -> Any:
    """The YAML value of a flag's text; the text itself if it is blank or not YAML."""
    if not text.strip():
        return text
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except (yaml.YAMLError, ValueError, KeyError):  # KeyError: a tag on a value of another kind
        return text


def dump_yaml(content: dict[str, Any]) -> str:
    """A mapping of plain values as YAML that `load_yaml` reads back as it is."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader. It also reads 1e-4 (without a dot) as a number, as YAML 1.2 does."""


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper. It quotes a text that `_Loader` would read as a number."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
        list("-+0123456789."),
    )
