"""Trials of another experiment, imported into a study (`--warm-start`), and why some are left out."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

import optuna
from optuna.trial import TrialState

from decouple_search.space.space import Space
from decouple_search.storage.folder import Folder
from decouple_search.storage.opening import folder_at
from decouple_search.storage.remote_folder import RemoteFolder
from decouple_search.storage.writer import exclusive_lock
from decouple_search.study.definition import DEFINITION, JOURNAL, Definition, without_secrets
from decouple_search.study.optuna_storage import load_journal
from decouple_search.study.record import TrialRecord, own_trials, screened_trials
from decouple_search.study.trial_log import copy_of
from decouplenet.config import Config
from decouplenet.errors import InputError
from decouplenet.wording import counted


def import_trials(place: str, study: optuna.Study, space: Space, config: Config) -> str:
    """Add another experiment's full and screened trials to a study. Samplers learn from them; nothing else counts them.

    A parameter that the other search did not search takes the value that was fixed there. A trial with a value outside
    this space is left out.

    Args:
        place: the other experiment's folder or URI.
        study: this search's study.
        space: the space that is searched here.
        config: the base configuration here.

    Returns:
        A text about the trials that were imported and those that were not.

    Raises:
        InputError: there is no such experiment, or it has other objectives.
    """
    with folder_at(place) as folder:
        definition, trials = _read(folder)
    if definition.ordered_objectives != space.objectives:
        raise InputError(f"--warm-start: '{folder.shown}' has other objectives: {definition.objectives}")
    base, left_out = without_secrets(config), Counter[str]()
    there = base | {key: value for key, value in definition.fixed.items() if key in space.keys}
    imported = {False: 0, True: 0}  # full trials, screened ones
    for trial in trials:
        searched = space.heads if trial.is_screened else space
        parameters, reason = _translated(trial, searched, there) if searched else ({}, "no heads are screened here")
        if reason:
            left_out[reason] += 1
        elif trial.objectives and searched:
            distributions = {p.key: p.distribution for p in searched.parameters if p.key in parameters}
            study.add_trial(copy_of(trial.frozen, parameters, distributions, f"{folder.shown} {trial.name}"))
            imported[trial.is_screened] += 1
    heads = f" and {counted(imported[True], 'screened head')}" if imported[True] else ""
    lines = [f"warm       {counted(imported[False], 'trial')}{heads} of {folder.shown} imported"]
    lines += [f"             {count} left out: {reason}" for reason, count in left_out.items()]
    lines += [
        f"             {key} was {value}, is {base[key]}"
        for key, value in definition.fixed.items()
        if key in base and base[key] != value and key not in space.keys
    ]
    return "\n".join(lines)


def _read(folder: Folder) -> tuple[Definition, list[TrialRecord]]:
    """The definition and the ended trials of an experiment."""
    definition_file, journal_file = folder.pull(DEFINITION), folder.pull(JOURNAL)
    if definition_file is None or journal_file is None:
        raise InputError(f"--warm-start: '{folder.shown}' is no search's folder with a {JOURNAL}")
    # A search that writes on a disk is refused. A file that was fetched from object storage no longer changes.
    fetched = isinstance(folder, RemoteFolder)
    with contextlib.nullcontext() if fetched else exclusive_lock(folder.local):
        try:
            other = load_journal(journal_file)
        except KeyError:
            raise InputError(f"--warm-start: '{folder.shown}' has no study in its {JOURNAL}") from None
        ended = [TrialState.COMPLETE, TrialState.PRUNED]
        return Definition.read(definition_file), own_trials(other, ended) + screened_trials(other, ended)


def _translated(trial: TrialRecord, space: Space, base: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A trial's parameters in this space, or the reason why it has none."""
    parameters = space.present(base | trial.parameters)
    for parameter in space.parameters:
        if parameter.key in parameters and not parameter.contains(parameters[parameter.key]):
            origin = "" if parameter.key in trial.parameters else " (not searched there)"
            return {}, f"{parameter.key} = {parameters[parameter.key]}{origin} is outside {parameter}"
    return parameters, ""
