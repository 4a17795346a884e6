"""Backbones, heads, losses and data formats by name: the project's own, and those that a user's package adds.

An extension joins by a decorator of `registration.py`, or by an entry point of an installed package. Its
name is then valid wherever a built-in name is: in a config, in a search space, on the command line. The package of an
entry point is imported only when its name is used. Imports neither torch nor Ray.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import FrameType
from typing import Any, Generic, TypeVar

from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError, one_line

_T = TypeVar("_T")
LIBRARIES = ("decouplenet", "decouple_search", "numpy", "optuna", "torch", "torchvision")
"""Packages whose frames are not the user's own code."""


class Extensions(Generic[_T]):
    """The valid names of a key, and what the names of extensions stand for.

    Args:
        key: the config key or flag that takes the names.
        group: the group of entry points.
        builtin: the project's own names. What they stand for is where they are used.
    """

    def __init__(self, key: str, group: str, builtin: Sequence[str]) -> None:
        self.key, self.group, self.builtin = key, group, tuple(builtin)
        self._registered: dict[str, _T] = {}

    @property
    def registered(self) -> dict[str, _T]:
        """The extensions that were registered in this process."""
        return dict(self._registered)

    def names(self) -> tuple[str, ...]:
        """All valid names: built in, registered, and those of installed packages."""
        return tuple(dict.fromkeys((*self.builtin, *self._registered, *self._installed())))

    def register(self, name: str, extension: _T) -> None:
        """Add an extension. The same function may be registered more than once, as a notebook does.

        Raises:
            ValueError: the name is taken.
        """
        place, owner = _place(extension), ""
        if name in self.builtin:
            owner = "the project itself"
        elif name in self._registered:
            owner = _place(self._registered[name])
        elif point := self._installed().get(name):
            owner = point.value
        if owner not in ("", place):
            raise ValueError(f"{self.key}: '{name}' is a name of {owner}; choose another name")
        self._registered[name] = extension

    def adopt(self, name: str, extension: _T) -> None:
        """Add an extension that another process of the same command registered."""
        self._registered[name] = extension

    def get(self, name: str) -> _T:
        """The extension of a name.

        Raises:
            InputError: the name is unknown, or its package cannot be imported.
        """
        if name in self._registered:
            return self._registered[name]
        point = self._installed().get(name)
        if point is None:
            hint = f"a name of your own needs a package with an entry point in '{self.group}', or an import before this"
            raise InputError(f"{self.key}: unknown '{name}'; {nearest(name, self.names())} ({hint})")
        try:
            extension: _T = point.load()
        except Exception as error:  # the package's own code runs
            raise InputError(
                f"{self.key}: '{name}' cannot be imported from {point.value} ({type(error).__name__}: "
                f"{one_line(error)}); mend that package, or remove it"
            ) from error
        return extension

    def call(self, name: str, *arguments: Any) -> Any:
        """Call the extension of a name. An error of its own code is the user's to mend.

        Raises:
            InputError: the name is unknown, or the extension raised.
        """
        extension: Any = self.get(name)
        try:
            return extension(*arguments)
        except InputError:
            raise
        except Exception as error:  # the user's own code runs
            raise failure_of(f"{self.key}: '{name}'", error, extension) from error

    def _installed(self) -> dict[str, EntryPoint]:
        """The entry points of installed packages.

        Raises:
            InputError: two packages have the same name, or a package has a built-in name.
        """
        points: dict[str, EntryPoint] = {}
        for point in _entry_points(self.group):
            earlier = points.setdefault(point.name, point)
            if point.name in self.builtin or earlier.value != point.value:
                owner = "the project itself" if point.name in self.builtin else earlier.value
                raise InputError(
                    f"{self.key}: the entry point '{point.name}' ({point.value}) has a name of {owner}; rename it"
                )
        return points


@functools.cache
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def failure_of(what: str, error: Exception, extension: Any = None) -> InputError:
    """An InputError that says which error a user's own code raised, and where.

    Args:
        what: the part that failed.
        error: the error.
        extension: the user's code, whose definition is named if the error does not come from inside of it.
    """
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if _is_own(frame)]
    place = ""
    if frames:
        place = f"; {frames[-1][0].f_code.co_filename}:{frames[-1][1]}"
    elif extension is not None:
        place = f"; {_place(extension)}"
    return InputError(f"{what} failed ({type(error).__name__}: {one_line(error)}{place})")


def _is_own(frame: FrameType) -> bool:
    """Whether a frame is of the user's own code."""
    return frame.f_globals.get("__name__", "").partition(".")[0] not in LIBRARIES


def _place(extension: Any) -> str:
    """Where an extension is defined: its module and name, as an entry point names it."""
    return f"{getattr(extension, '__module__', '')}:{getattr(extension, '__qualname__', repr(extension))}"


BACKBONES: Extensions[Callable[..., Any]] = Extensions(
    "model.backbone",
    "decouplenet.backbones",
    [
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "mobilenet_v2",
        "convnext_tiny",
        "convnext_small",
        "efficientnet_b0",
        "tiny",
    ],
)
HEADS: Extensions[Callable[..., Any]] = Extensions(
    "model.head",
    "decouplenet.heads",
    [
        "decouplenet",
        "wildcat",
        "gap",
        "gmp",
        "weldon",
        "srn",
        "cnn_rnn",
        "of_rnn",
        "rnn_attention",
        "csra",
        "query2label",
        "ml_decoder",
        "gcn",
    ],
)
LOSSES: Extensions[Callable[..., Any]] = Extensions("train.loss", "decouplenet.losses", ["bce", "asl", "warp", "lsep"])
FORMATS: Extensions[Callable[..., Any]] = Extensions(
    "data.format", "decouplenet.formats", ["synthetic", "coco", "nuswide", "voc", "table"]
)
KINDS: tuple[Extensions[Any], ...] = (BACKBONES, HEADS, LOSSES, FORMATS)
"""All kinds that a training uses."""
