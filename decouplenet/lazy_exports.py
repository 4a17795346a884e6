"""The public names of a package, each imported on first use, and its version. Imports nothing of the project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package.

    Args:
        package: its name.
        modules: the module of each public name, in the package.
    """

    def get(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version  # takes longer to import than all else here

            return version("decouple-search")
        if name not in modules:
            raise AttributeError(f"module '{package}' has no attribute '{name}'; public: {', '.join(modules)}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get, lambda: sorted({*vars(import_module(package)), *modules})
