"""A space in Syne Tune's terms. Syne Tune knows no conditions: it searches all, and absent parameters are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syne_tune.config_space import choice, finrange, lograndint, loguniform, ordinal, randint, uniform  # type: ignore[import-not-found]

from benchmarks.search_quality.peers.problem import Problem, choice_names
from decouple_search.space.parameter import Parameter


def config_space(problem: Problem) -> dict[str, Any]:
    """Syne Tune's space of a problem."""
    return {parameter.key: _domain(parameter) for parameter in problem.parameters}


def config_of(problem: Problem, proposed: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that Syne Tune proposed."""
    values = {parameter.key: _value(parameter, proposed[parameter.key]) for parameter in problem.parameters}
    return problem.present(values)


def _domain(parameter: Parameter) -> Any:
    if parameter.kind == "choice":
        return choice(choice_names(parameter))
    low, high = parameter.values
    if parameter.step and parameter.kind == "int":
        return ordinal([str(value) for value in parameter.steps() or ()], kind="equal")
    if parameter.step:
        steps = parameter.steps() or []
        return finrange(steps[0], steps[-1], len(steps))
    if parameter.kind == "int":
        return (lograndint if parameter.log else randint)(low, high)
    return (loguniform if parameter.log else uniform)(low, high)


def _value(parameter: Parameter, proposed: Any) -> Any:
    if parameter.kind == "choice":
        return parameter.values[int(proposed)]
    return int(proposed) if parameter.kind == "int" else float(proposed)
