"""How many configurations of a search are trained anew with fresh seeds at its end."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from decouple_search.space.parts import checked_count, mapping_at
from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError


@dataclass(frozen=True)
class FinalistPlan:
    """The finalists of a search: its best configurations, each trained anew with the same fresh seeds."""

    count: int
    """The number of finalists."""
    seeds: int
    """The number of fresh seeds of each finalist."""

    @property
    def trainings(self) -> int:
        """The number of trainings, each in full."""
        return self.count * self.seeds


def read_finalists(spec: Any, where: str) -> FinalistPlan | None:
    """The finalists of a space: `{count: 3, seeds: 3}`; None where nothing is given.

    Raises:
        InputError: an unknown or missing number, or a number below 1.
    """
    given = mapping_at(spec, where)
    if not given:
        return None
    names = [field.name for field in fields(FinalistPlan)]
    for key in given:
        if key not in names:
            raise InputError(f"{where}: unknown key '{key}'; {nearest(str(key), names)}")
    for name in names:
        if name not in given:
            raise InputError(f"{where}: {name} is missing; give {{count: 3, seeds: 3}}")
    return FinalistPlan(**{name: checked_count(given[name], f"{where}, {name}") for name in names})
