"""Conversion of text and YAML values to the declared type of a config key or flag, and that type in words."""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from decouplenet.yaml_text import parse_value

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter  # takes 0.2 s to import, and --help needs none of it

    return TypeAdapter(kind, config=ConfigDict(strict=True))


def typed_value(kind: Any, value: Any) -> Any:
    """A value converted to the type `kind`. Numbers keep their type: `1` stays an int under `int | float`.

    Text is first read as YAML (`1e-3`, `true`, `null`). If the result does not fit the type, the text itself is used.

    Args:
        kind: a type annotation.
        value: a YAML value, or the text of a flag.

    Raises:
        ValueError: the value is not of that type.
    """
    if get_origin(kind) is list and isinstance(value, list):  # the texts of a flag that takes several values
        return [typed_value(get_args(kind)[0], item) for item in value]
    candidates = [value]
    if isinstance(value, str) and not isinstance(parsed := parse_value(value), str):
        candidates = [parsed, value]
    for candidate in candidates:
        try:
            return _adapter(kind).validate_python(candidate)
        except ValueError:  # pydantic's ValidationError is one
            continue
    raise ValueError(f"{value!r} is not {describe(kind)}")


def check_type(kind: Any, value: Any) -> None:
    """Refuse a value that is not of the type `kind`. Nothing is converted, but an int is a float.

    Raises:
        ValueError: the value is not of that type.
    """
    try:
        _adapter(kind).validate_python(value)
    except ValueError:  # pydantic's ValidationError is one
        raise ValueError(f"{value!r} is not {describe(kind)}") from None


def describe(kind: Any) -> str:
    """A type in words: `int | float`, `one of 'none', 'arch1'`."""
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join("None" if member is type(None) else describe(member) for member in get_args(kind))
    if get_origin(kind) is dict:
        return "mapping"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    return kind.__name__ if isinstance(kind, type) else str(kind)
