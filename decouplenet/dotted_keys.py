"""Dotted keys (`model.alpha`), their nested form, and hints for misspelt names. Imports nothing of the project."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from typing import Any

GROUPS = ("head",)
"""Names of which each key is a section of its own: `head.csra.weight`."""


def flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    """`{"model": {"alpha": 1}}` to `{"model.alpha": 1}`. Dotted keys stay as they are; path objects become text.

    Only sections are flattened: a key whose value is a mapping keeps it.
    """
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping) and ("." not in str(name) or name.rpartition(".")[0] in GROUPS):
            within = {f"{name}.{key}": each for key, each in value.items()}
            flat |= flatten(within) if name in GROUPS else {key: _text_of_path(each) for key, each in within.items()}
        else:
            flat[name] = _text_of_path(value)
    return flat


def _text_of_path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def nest(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"model.alpha": 1}` to `{"model": {"alpha": 1}}`, and `{"head.csra.weight": 1}` to three levels."""
    nested: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        if section in GROUPS and "." in name:
            part, _, name = name.partition(".")
            nested.setdefault(section, {}).setdefault(part, {})[name] = value
        else:
            nested.setdefault(section, {})[name] = value
    return nested


def nearest(name: object, valid: Iterable[str]) -> str:
    """A hint for a misspelt name: the most similar valid name, or all valid names if none is similar."""
    valid = list(valid)
    return did_you_mean(name, valid) or f"valid: {', '.join(valid)}"


def did_you_mean(name: object, valid: Iterable[str]) -> str:
    """A hint with the most similar valid name; empty if none is similar."""
    name, valid = str(name), list(valid)
    tails = {v.rpartition(".")[2]: v for v in valid}
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    close = close or [tails[t] for t in difflib.get_close_matches(name.rpartition(".")[2], tails, n=1, cutoff=0.6)]
    return f"did you mean '{close[0]}'?" if close else ""
