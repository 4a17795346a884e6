"""Tables as JSON: a list of mappings, a mapping from paths to lists of labels, or one mapping per line."""

from __future__ import annotations

import json
from typing import Any

from decouplenet.data.places import Source, read_bytes
from decouplenet.data.tables.rows import Rows
from decouplenet.data.tables.text import decoded
from decouplenet.errors import InputError


def read_json_rows(source: Source) -> Rows:
    """The rows of a JSON list or of JSON lines. A key that a row lacks is null.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is no JSON, or a row is no mapping.
    """
    text = decoded(read_bytes(source))
    numbered: list[tuple[int, Any]]
    whole = _whole(text)
    if isinstance(whole, list):
        numbered = list(enumerate(whole, start=1))
    elif isinstance(whole, dict) and "annotations" not in whole and all(isinstance(v, list) for v in whole.values()):
        numbered = [(i, {"path": path, "labels": labels}) for i, (path, labels) in enumerate(whole.items(), start=1)]
    else:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
        numbered = [(number, _parsed(line, f"line {number}")) for number, line in lines]
    for number, row in numbered:
        if not isinstance(row, dict):
            raise ValueError(f"entry {number} is no mapping of columns to cells")
        if "annotations" in row and "images" in row:
            raise InputError(f"'{source}' is a COCO JSON; set data.format to coco")
    names = list(dict.fromkeys(str(name) for _, row in numbered for name in row))
    columns = [[row.get(name) for _, row in numbered] for name in names]
    return Rows(names, columns, [number for number, _ in numbered])


def _whole(text: str) -> Any:
    """The value of a file that is one JSON value; None for JSON lines."""
    if text.lstrip().startswith("["):
        return _parsed(text, "the file")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is no JSON: {error}") from None
