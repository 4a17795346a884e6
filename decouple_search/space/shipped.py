"""The search spaces that come with the program, by name, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError

FOLDER = "search_spaces"
"""The folder's name: at the top of a checkout, and inside the package `decouple_search` in a wheel."""


def shipped_folder() -> Path:
    """The folder of the shipped spaces.

    Raises:
        InputError: the installation has none.
    """
    package = Path(__file__).parents[1]
    for place in (package / FOLDER, package.parent / FOLDER):
        if (place / "demo.yaml").is_file():
            return place
    raise InputError(f"the installation at '{package}' has no folder {FOLDER}; install decouple-search anew")


def shipped_spaces() -> dict[str, Path]:
    """The file of each shipped space, by the space's name."""
    return {file.stem: file for file in sorted(shipped_folder().glob("*.yaml"))}


def space_file(text: str) -> str:
    """The file that `--space` means.

    Args:
        text: an existing file, a URI, or the name of a shipped space. `search_spaces/NAME.yaml` is the shipped space
            NAME if there is no such file.

    Returns:
        The file or URI. A path to nothing stays as it is, since reading it gives the right error.

    Raises:
        InputError: the text is a name, and no shipped space has it.
    """
    if Path(text).is_file():
        return text
    spaces, path = shipped_spaces(), Path(text)
    if text in spaces:
        return str(spaces[text])
    if path.parts == (FOLDER, path.name) and path.suffix == ".yaml" and path.stem in spaces:
        return str(spaces[path.stem])
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1 or text != path.name:
        return text
    hint, names = nearest(text, spaces), f"valid: {', '.join(spaces)}"
    hint = hint if hint == names else f"{hint} {names}"
    raise InputError(f"space '{text}': neither a file nor a shipped space; {hint} (in '{shipped_folder()}')")
