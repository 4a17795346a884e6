"""A space in ConfigSpace's terms, with conditions where ConfigSpace has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ConfigSpace import (  # type: ignore[import-not-found]
    AndConjunction,
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    Float,
    GreaterThanCondition,
    InCondition,
    Integer,
    LessThanCondition,
    NotEqualsCondition,
    OrdinalHyperparameter,
)

from benchmarks.search_quality.peers.problem import Problem, choice_names
from decouple_search.space.parameter import CONDITIONS, Parameter


def config_space(problem: Problem, *, conditions: bool) -> ConfigurationSpace:
    """ConfigSpace's space of a problem.

    Args:
        problem: the search.
        conditions: whether parameters are conditional in it; otherwise all are searched, and absent ones left out.
    """
    space = ConfigurationSpace(seed=problem.seed)
    nodes = {parameter.key: _hyperparameter(parameter) for parameter in problem.parameters}
    space.add(*nodes.values())
    by_key = {parameter.key: parameter for parameter in problem.parameters}
    for parameter in problem.parameters if conditions else ():
        each = [
            _condition(nodes[parameter.key], nodes[key], by_key[key], *when) for key, when in parameter.when.items()
        ]
        if each:
            space.add(each[0] if len(each) == 1 else AndConjunction(*each))
    return space


def config_of(problem: Problem, proposed: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that a package proposed in terms of `config_space`."""
    values = {p.key: _value(p, proposed[p.key]) for p in problem.parameters if p.key in proposed}
    return problem.present(values)


def _hyperparameter(parameter: Parameter) -> Any:
    if parameter.kind == "choice":
        return Categorical(parameter.key, choice_names(parameter))
    if parameter.step:
        return OrdinalHyperparameter(parameter.key, parameter.steps())
    if parameter.kind == "int":
        return Integer(parameter.key, parameter.values, log=parameter.log)
    return Float(parameter.key, parameter.values, log=parameter.log)


def _condition(child: Any, parent: Any, parameter: Parameter, condition: str, operand: Any) -> Any:
    """The condition of a child; conditions on choices and whole numbers become lists of the values that meet them."""
    values = parameter.steps()
    if values is not None:
        met = [value for value in values if CONDITIONS[condition](value, operand)]
        names = [str(values.index(value)) for value in met] if parameter.kind == "choice" else met
        return InCondition(child, parent, names)
    kinds = {"eq": EqualsCondition, "ne": NotEqualsCondition, "in": InCondition}
    kinds |= {"gt": GreaterThanCondition, "ge": GreaterThanCondition}  # a range meets its end with probability 0
    kinds |= {"lt": LessThanCondition, "le": LessThanCondition}
    return kinds[condition](child, parent, operand)


def _value(parameter: Parameter, proposed: Any) -> Any:
    if parameter.kind == "choice":
        return parameter.values[int(proposed)]
    return int(proposed) if parameter.kind == "int" else float(proposed)
