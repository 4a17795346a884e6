"""Another experiment's trials as what a search knows already (`--warm-start`), and why some are left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from decouple_search.experiment import DEFINITION, held, without_secrets
from decouple_search.results import parameters_of
from decouple_search.space import Space
from decouple_search.study import STUDY_NAME, journal, own_trials, trial_name
from decouplenet.config import Config, load_yaml
from decouplenet.errors import InputError


def take_over(experiment: Path, study: optuna.Study, space: Space, config: Config) -> str:
    """Add the trials of another experiment to a study, where samplers learn from them and nothing else counts them.

    A parameter that is new here has in them what it was fixed to there. A trial with a value that could not be
    proposed here is left out.

    Args:
        experiment: the other's folder.
        study: this search's.
        space: what is searched here.
        config: the base configuration here.

    Returns:
        What was taken and what was not, in words.

    Raises:
        InputError: there is no such experiment, or it has other objectives.
    """
    file = experiment / "study.log"
    if not (experiment / DEFINITION).is_file() or not file.is_file():
        raise InputError(f"--warm-start: '{experiment}' is no search's folder with a study.log")
    was = load_yaml(experiment / DEFINITION)
    if list(was["objectives"].items()) != list(space.objectives):
        raise InputError(f"--warm-start: '{experiment}' has other objectives: {was['objectives']}")
    with held(experiment):  # or what is read could be half written
        other = optuna.load_study(study_name=STUDY_NAME, storage=journal(file))
    base, left_out, taken = without_secrets(config), Counter[str](), 0
    there = base | {key: value for key, value in was["fixed"].items() if key in _keys(space)}
    for trial in own_trials(other, [TrialState.COMPLETE, TrialState.PRUNED]):
        values, reason = _translated(trial, space, there)
        if reason:
            left_out[reason] += 1
        elif "objectives" in trial.user_attrs:
            study.add_trial(_copy(trial, values, space, f"{experiment} {trial_name(trial.number)}"))
            taken += 1
    fixed = {key: value for key, value in was["fixed"].items() if key in base and base[key] != value}
    apart = [f"{key} was {value}, is {base[key]}" for key, value in fixed.items() if key not in _keys(space)]
    lines = [f"warm       {taken} trials of {experiment} taken over"]
    lines += [f"             {count} left out: {reason}" for reason, count in left_out.items()]
    lines += [f"             {line}" for line in apart]
    return "\n".join(lines)


def _keys(space: Space) -> set[str]:
    return {parameter.key for parameter in space.parameters}


def _translated(trial: FrozenTrial, space: Space, base: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A trial's parameters in this space, or why it has none."""
    known = parameters_of(trial)
    values = space.present(base | known)
    for parameter in space.parameters:
        if parameter.key in values and not parameter.contains(values[parameter.key]):
            new = "" if parameter.key in known else " (not searched there)"
            return {}, f"{parameter.key} = {values[parameter.key]}{new} is outside {parameter}"
    return values, ""


def _copy(trial: FrozenTrial, values: dict[str, Any], space: Space, origin: str) -> FrozenTrial:
    distributions: dict[str, BaseDistribution] = {
        parameter.key: parameter.distribution for parameter in space.parameters if parameter.key in values
    }
    done = trial.state == TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values if done else None,
        params=values,
        distributions=distributions,
        intermediate_values=trial.intermediate_values,
        user_attrs={**trial.user_attrs, "taken_from": origin},
    )
