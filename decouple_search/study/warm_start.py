"""Another experiment's trials as what a search knows already (`--warm-start`), and why some are left out."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from decouple_search.results.tables import parameters_of
from decouple_search.space.space import Space
from decouple_search.storage.folder import folder_at
from decouple_search.study.experiment import DEFINITION, JOURNAL, held, without_secrets
from decouple_search.study.record import STUDY_NAME, journal, own_trials, trial_name
from decouplenet.config import Config, load_yaml
from decouplenet.errors import InputError


def take_over(place: str, study: optuna.Study, space: Space, config: Config) -> str:
    """Add the trials of another experiment to a study, where samplers learn from them and nothing else counts them.

    A parameter that is new here has in them what it was fixed to there. A trial with a value that could not be
    proposed here is left out.

    Args:
        place: the other's folder, here or in object storage.
        study: this search's.
        space: what is searched here.
        config: the base configuration here.

    Returns:
        What was taken and what was not, in words.

    Raises:
        InputError: there is no such experiment, or it has other objectives.
    """
    with folder_at(place) as folder:
        made, file = folder.pull(DEFINITION), folder.pull(JOURNAL)
        if made is None or file is None:
            raise InputError(f"--warm-start: '{folder.shown}' is no search's folder with a {JOURNAL}")
        was = load_yaml(made)
        if list(was["objectives"].items()) != list(space.objectives):
            raise InputError(f"--warm-start: '{folder.shown}' has other objectives: {was['objectives']}")
        # Or what is read could be half written; what was fetched is not.
        with contextlib.nullcontext() if folder.remote else held(folder.local):
            other = optuna.load_study(study_name=STUDY_NAME, storage=journal(file))
            trials = own_trials(other, [TrialState.COMPLETE, TrialState.PRUNED])
    base, left_out, taken = without_secrets(config), Counter[str](), 0
    there = base | {key: value for key, value in was["fixed"].items() if key in _keys(space)}
    for trial in trials:
        values, reason = _translated(trial, space, there)
        if reason:
            left_out[reason] += 1
        elif "objectives" in trial.user_attrs:
            study.add_trial(_copy(trial, values, space, f"{folder.shown} {trial_name(trial.number)}"))
            taken += 1
    fixed = {key: value for key, value in was["fixed"].items() if key in base and base[key] != value}
    apart = [f"{key} was {value}, is {base[key]}" for key, value in fixed.items() if key not in _keys(space)]
    lines = [f"warm       {taken} trials of {folder.shown} taken over"]
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
