"""Facts about config keys, stated at the key itself: may a search vary it, may a resumed run change it, and so on.

Other modules derive their lists of keys from these facts. This module imports nothing of the project.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import Field, dataclass, field, replace
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The properties of a config key."""

    searchable: bool = True
    """A search may vary it from trial to trial. Otherwise all trials share it."""
    changeable: bool = False
    """A training may resume with another value (pbt). Weights and optimiser state keep their shapes."""
    bound: bool = False
    """A training cannot resume with another value, because the key decides the network, the data or their order."""
    of_machine: bool = False
    """The key says how a run uses its machines. A resumed search may change it."""
    hardware: bool = False
    """The key requests hardware. An evaluation on other machines ignores the value of the training."""
    measured: bool = False
    """The result of an evaluation depends on it."""
    path: bool = False
    """The value is a path or an address of the user's data."""
    augmentation: bool = False
    """The key changes training images after they were read from the cache."""
    images_only: bool = False
    """The key decides nothing where feature maps of a frozen backbone stand in place of images."""
    names: Callable[[], tuple[str, ...]] | None = None
    """The valid values of a key that takes names, also those of extensions. None means that its type says them."""
    heads: tuple[str, ...] | None = None
    """The heads (`model.head`) that use the key. None means all heads."""


def config_key(default: Any, **facts: Any) -> Any:
    """A dataclass field for a config key with facts that differ from its section's `FACTS`."""
    return field(default=default, metadata=facts)


def facts_of(section: Any, config_field: Field[Any]) -> Facts:
    """The facts of one field of a config section."""
    facts: Facts = replace(section.FACTS, **config_field.metadata)
    return facts


def attribute_docs(of_class: type[Any]) -> dict[str, str]:
    """The docstring below each annotated attribute of a class, by the attribute's name."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(of_class))).body
    docs = {}
    for statement, following in pairwise(definition.body):  # type: ignore[attr-defined]
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = text
    return docs
