"""The rows of a table from its files: one text file, or one or many parquet files or tar shards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from decouplenet.data.places import Source, is_address, list_folder, path_part
from decouplenet.data.tables.json_rows import read_json_rows
from decouplenet.data.tables.parquet import read_parquet
from decouplenet.data.tables.rows import Rows
from decouplenet.data.tables.splits import SPLIT_WORDS
from decouplenet.data.tables.tar import read_tar
from decouplenet.data.tables.text import HELP, read_text, reason_of
from decouplenet.errors import InputError, UnreadableError

READERS = {
    ".parquet": read_parquet,
    ".tar": read_tar,
    ".json": read_json_rows,
    ".jsonl": read_json_rows,
    ".ndjson": read_json_rows,
}
"""The readers of tables by suffix. Files with another suffix are text."""
LOOSE = (".tar", ".json", ".jsonl", ".ndjson")
"""Suffixes of tables whose rows need not have all columns."""
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Names of the table in a folder of images, as Hugging Face's image folders have it."""
MANY = (".parquet", ".tar")
"""Suffixes of tables that a folder may hold many of."""
SPLIT = "split"
"""The column of the splits that the names of files say (`validation-00000-of-00002.parquet`)."""


def read_rows(source: Source, where: str) -> Rows:
    """The rows of a table, without empty rows.

    Args:
        source: a .csv, .tsv, .txt (also .gz), .json, .jsonl, .parquet or .tar file; a pattern such as
            `train-*.parquet`; or a folder of parquet or tar files, or with a `metadata.csv` or `metadata.jsonl`.
        where: the table's name for messages.

    Raises:
        InputError: the table cannot be read.
    """
    try:
        files = _files(source)
        readers = [READERS.get(_suffix(file)) for file in files]
        tables = [
            reader(file) if reader else read_text(file, where) for file, reader in zip(files, readers, strict=True)
        ]
    except InputError:
        raise
    except OSError as error:
        raise UnreadableError(f"{where} cannot be read ({reason_of(error)}); {HELP}") from None
    except ValueError as error:  # pyarrow's errors are of these types
        raise InputError(f"{where} cannot be read ({reason_of(error)}); {HELP}") from None
    if not tables:
        raise InputError(f"{where} has no parquet or tar file, and no metadata.csv or metadata.jsonl; {HELP}")
    return tables[0] if len(tables) == 1 and files == [source] else _joined(tables, files, where)


def _suffix(source: Source) -> str:
    return Path(path_part(source)).suffix.lower()


def _files(source: Source) -> list[Source]:
    """The files of a table: a single one, those that a pattern fits, or the parquet or tar files of a folder."""
    path = path_part(source)
    folder, _, name = path.rpartition("/")
    query = str(source)[len(path) :] if is_address(source) else ""
    if "*" in name:
        listed = list_folder(f"{folder}{query}" if is_address(source) else Path(folder or "."))
        return [file for file in listed if fnmatchcase(path_part(file).rpartition("/")[2], name)]
    is_folder = not _suffix(source) if is_address(source) else Path(path).is_dir()
    if not is_folder:
        return [source]
    listed = list_folder(source)
    many = [file for file in listed if _suffix(file) in MANY]
    return many or [file for file in listed if path_part(file).rpartition("/")[2] in METADATA]


def _joined(tables: Sequence[Rows], files: Sequence[Source], where: str) -> Rows:
    """The rows of several files. Without a column of splits, the names of the files say them if all of them do.

    Raises:
        InputError: the files have different columns.
    """
    names = list(dict.fromkeys(name for table in tables for name in table.names))
    for table, file in zip(tables, files, strict=True):
        lacking = [name for name in names if name not in table.names]
        if lacking and _suffix(file) not in LOOSE:
            raise InputError(f"{where}: '{path_part(file)}' has no column '{lacking[0]}', which other files have")
    columns = [
        [cell for table in tables for cell in (table.column(name) if name in table.names else [None] * len(table))]
        for name in names
    ]
    splits = [_split_of(file) for file in files]
    if SPLIT not in names and all(splits):
        names = [*names, SPLIT]
        columns.append([split for table, split in zip(tables, splits, strict=True) for _ in range(len(table))])
    return Rows(names, columns, range(1, sum(map(len, tables)) + 1), tables[0].class_names, tables[0].flags)


def _split_of(file: Source) -> str:
    """The split that a file's name begins with; empty if it does not begin with a usual word."""
    word = re.match("[a-z]*", path_part(file).rpartition("/")[2].lower())
    return word.group() if word and word.group() in SPLIT_WORDS else ""
