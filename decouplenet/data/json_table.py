"""Tables as JSON: a list of mappings, or one mapping per line (`metadata.jsonl` of Hugging Face's image folders)."""

from __future__ import annotations

import json
from typing import Any

from decouplenet.data.places import Source, read_bytes
from decouplenet.data.rows import Rows
from decouplenet.data.text_table import decoded
from decouplenet.errors import InputError


def read_json_rows(source: Source) -> Rows:
    """The rows of a JSON list or of JSON lines. A key that a row lacks is null.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is no JSON, or a row is no mapping.
    """
    text = decoded(read_bytes(source))
    numbered: list[tuple[int, Any]]
    if text.lstrip().startswith("["):
        numbered = list(enumerate(_parsed(text, "the file"), start=1))
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


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is no JSON: {error}") from None
