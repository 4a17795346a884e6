"""What a peer is told: the parameters, the epochs of a whole training, the number of slots, and a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decouple_search.space.parameter import Parameter


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A search to run."""

    parameters: tuple[Parameter, ...]
    """Each comes after the parameters that its conditions name."""
    epochs: int
    slots: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """The problem as JSON."""
        parameters = [
            {"key": p.key, "kind": p.kind, "values": p.values, "log": p.log, "step": p.step, "when": dict(p.when)}
            for p in self.parameters
        ]
        return {"parameters": parameters, "epochs": self.epochs, "slots": self.slots, "seed": self.seed}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Problem:
        """The problem of `to_json`."""
        parameters = tuple(
            Parameter(
                each["key"],
                each["kind"],
                tuple(each["values"]),
                log=each["log"],
                step=each["step"],
                when={key: (condition, _operand(operand)) for key, (condition, operand) in each["when"].items()},
            )
            for each in content["parameters"]
        )
        return cls(parameters=parameters, epochs=content["epochs"], slots=content["slots"], seed=content["seed"])

    def present(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration without the parameters whose conditions do not hold, for peers that know no conditions."""
        kept: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.applies(kept):
                kept[parameter.key] = values[parameter.key]
        return kept


def _operand(operand: Any) -> Any:
    return tuple(operand) if isinstance(operand, Sequence) and not isinstance(operand, str) else operand


def choice_names(parameter: Parameter) -> list[str]:
    """Names for a parameter's choices, for peers that take text alone: their places."""
    return [str(place) for place in range(len(parameter.values))]
