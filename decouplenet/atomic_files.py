"""Files and folders that appear only when complete: a reader sees the old or the new content, never a mixture."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path


def replace_file(file: Path, content: str | bytes) -> None:
    """Write a file. It replaces an older one only when it is complete."""
    partial = file.with_name(f".{file.name}.partial")
    if isinstance(content, str):
        partial.write_text(content)
    else:
        partial.write_bytes(content)
    partial.replace(file)


@contextlib.contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Context that gives an empty folder to fill. It replaces `folder` when the context ends without an exception.

    Args:
        folder: the folder to write; its parent must exist.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # a killed process may have left it
    partial.mkdir()
    try:
        yield partial
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
