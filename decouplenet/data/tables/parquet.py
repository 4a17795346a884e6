"""Parquet tables, also with the images inside: the form in which Hugging Face's datasets are stored.

A column of images is a struct of `bytes` and `path`, or plain bytes. Reading the labels does not read the images. An
image is read with its whole row group, and the last few row groups stay in memory: read the images in order.
"""

from __future__ import annotations

import functools
import json
import threading
from dataclasses import dataclass
from typing import Any

from decouplenet.data.places import Inside, Source, open_seekable
from decouplenet.data.tables.rows import Rows

ROW_GROUPS = 3
"""Maximum number of row groups in memory."""
_LOADING = threading.Lock()


@dataclass(frozen=True, slots=True)
class InParquet(Inside):
    """An image in a row of a parquet table."""

    file: Source
    name: str
    column: str
    """Path of the column of bytes, such as `image.bytes`."""
    group: int
    """Number of the row group."""
    row: int
    """Number of the row in its group."""

    @property
    def part(self) -> str:
        """The column and row, which tell the image from the others of the file."""
        return f"{self.column} {self.group} {self.row}"

    def read(self) -> bytes:
        """The image's content."""
        with _LOADING:  # threads that need the same row group wait for the first
            cells = _row_group(self.file, self.group, self.column)
        content = cells[self.row].as_py()
        if isinstance(content, dict):
            content = content["bytes"]
        if content is None:
            raise OSError("the row has no image")
        image: bytes = content
        return image


@functools.lru_cache(maxsize=ROW_GROUPS)
def _row_group(file: Source, group: int, column: str) -> Any:
    import pyarrow.parquet as pq

    with open_seekable(file) as stream:
        return pq.ParquetFile(stream).read_row_group(group, columns=[column]).column(0)


def read_parquet(file: Source) -> Rows:
    """The rows of a parquet file. Cells of a column of images are `InParquet`, or a path where no image is inside.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is no parquet file.
    """
    import pyarrow.parquet as pq

    with open_seekable(file) as stream:
        parquet = pq.ParquetFile(stream)
        leaves = {field.name: _image_leaf(field) for field in parquet.schema_arrow}
        plain = [name for name, leaf in leaves.items() if not leaf]
        paths = [f"{name}.path" for name, leaf in leaves.items() if leaf.endswith(".bytes")]
        table = parquet.read(columns=[*plain, *paths])
        read = {name: table.column(name).to_pylist() for name in table.column_names}
        count = parquet.metadata.num_rows
        columns = [
            _images(file, parquet.metadata, leaf, read.get(name, [None] * count)) if leaf else read[name]
            for name, leaf in leaves.items()
        ]
        class_names = _class_names(parquet.schema_arrow.metadata or {})
    return Rows(list(leaves), columns, range(1, count + 1), class_names)


def _image_leaf(field: Any) -> str:
    """The path of a column's bytes if it is a column of images; else empty."""
    import pyarrow as pa

    if pa.types.is_struct(field.type) and {"bytes", "path"} <= {child.name for child in field.type}:
        return f"{field.name}.bytes"
    return field.name if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type) else ""


def _images(file: Source, metadata: Any, leaf: str, cells: list[Any]) -> list[Any]:
    """The places of the images of a column. A struct without bytes stands for a file at its path."""
    names = [cell.get("path") if isinstance(cell, dict) else None for cell in cells]
    places: list[Any] = []
    for group in range(metadata.num_row_groups):
        inside = _has_bytes(metadata.row_group(group), leaf)
        for row in range(metadata.row_group(group).num_rows):
            name = names[len(places)]
            place = InParquet(file, name or f"row {len(places) + 1}", leaf, group, row)
            places.append(place if inside or not name else name)
    return places


def _has_bytes(group: Any, leaf: str) -> bool:
    """Whether a row group has images inside, as its statistics say."""
    for column in map(group.column, range(group.num_columns)):
        if column.path_in_schema == leaf:
            statistics = column.statistics
            counted = statistics is not None and statistics.has_null_count
            return not counted or statistics.null_count < column.num_values
    return True


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """By column, the class names in the metadata that Hugging Face's datasets write."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    names = {column: _names_in(feature) for column, feature in features.items()}
    return {column: classes for column, classes in names.items() if classes}


def _names_in(feature: Any) -> list[str]:
    """The class names of a feature: a ClassLabel, or a list of ClassLabels."""
    if isinstance(feature, list):
        return _names_in(feature[0]) if feature else []
    if not isinstance(feature, dict):
        return []
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]]
    return _names_in(feature.get("feature"))
