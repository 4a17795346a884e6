"""The finalists of a search in its study: which configurations they are, and their trainings with fresh seeds.

The choice is made once and kept in the study, with the seeds. A training of a finalist (a repeat) is a trial of the
study that is marked with the finalist's number and its seed. All finalists have the same seeds, so that they are
compared on common random numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.objective import Objective
from decouple_search.study import attributes
from decouple_search.study.record import NO_EPOCH, TrialRecord, ended_trials, repeat_trials

_SEED_STREAM = 19
"""Keeps the draw of fresh seeds apart from other draws from the same seed."""
_MAX_SEED = 2**31


@dataclass(frozen=True)
class FinalistChoice:
    """The finalists of a search, as they were chosen."""

    trials: tuple[int, ...]
    """The numbers of the searched trials, the best expectation first."""
    seeds: tuple[int, ...]
    """The fresh seeds of each finalist."""
    searched: int
    """The number of searched trials that had ended. After more trials the finalists are chosen anew."""


def read_choice(study: optuna.Study) -> FinalistChoice | None:
    """The choice that the study keeps; None before it is made."""
    kept = study.user_attrs.get(attributes.FINALISTS)
    return FinalistChoice(tuple(kept["trials"]), tuple(kept["seeds"]), kept["searched"]) if kept else None


def choose_finalists(
    study: optuna.Study,
    expected: Mapping[int, float],
    objective: Objective,
    plan: FinalistPlan,
    *,
    seed: int,
    used_seeds: Sequence[int],
) -> FinalistChoice:
    """Choose the finalists, and keep the choice in the study.

    An earlier choice stands while no trial was added: another number of finalists or of seeds extends or shortens it.
    Trials with equal parameters are one finalist, represented by the trial with the best value.

    Args:
        study: the search's study, whose own trials have ended.
        expected: the expected value at the last epoch, by number of the trials that can be finalists.
        objective: the objective.
        plan: how many finalists and seeds.
        seed: the seed of the search.
        used_seeds: the seeds of the search's own trainings.
    """
    earlier, searched = read_choice(study), len(ended_trials(study))
    stands = earlier is not None and earlier.searched == searched
    ordered = list(earlier.trials) if earlier and stands else []
    ordered += [number for number in _distinct(study, expected, objective) if number not in ordered]
    seeds = fresh_seeds(seed, plan.seeds, used_seeds, earlier.seeds if earlier else ())
    choice = FinalistChoice(tuple(ordered[: plan.count]), seeds, searched)
    if choice != earlier:
        study.set_user_attr(attributes.FINALISTS, asdict(choice))
    return choice


def fresh_seeds(seed: int, count: int, used: Sequence[int], earlier: Sequence[int] = ()) -> tuple[int, ...]:
    """Seeds for trainings that no training of the search used. They follow from the seed of the search.

    Args:
        seed: the seed of the search.
        count: the number of seeds.
        used: the seeds of the search's own trainings.
        earlier: fresh seeds that were drawn before. They come first.
    """
    rng, seeds = np.random.default_rng([seed, _SEED_STREAM]), list(earlier)
    while len(seeds) < count:
        drawn = int(rng.integers(_MAX_SEED))
        if drawn not in seeds and drawn not in used:
            seeds.append(drawn)
    return tuple(seeds[:count])


def missing_repeats(study: optuna.Study) -> list[tuple[int, int]]:
    """The trainings of finalists that have not started yet: the finalist's number and the seed, seed by seed.

    A training that ended before its first epoch, or that was cut off, is missing too.
    """
    choice = read_choice(study)
    if choice is None:
        return []
    started = {(trial.repeat_of, trial.seed) for trial in repeat_trials(study) if not _was_cut_off(trial)}
    pairs = [(number, seed) for seed in choice.seeds for number in choice.trials]
    return [pair for pair in pairs if pair not in started]


def are_trained(study: optuna.Study) -> bool:
    """Whether all trainings of the chosen finalists have ended."""
    if read_choice(study) is None or missing_repeats(study):
        return False
    return not repeat_trials(study, [TrialState.RUNNING])


def add_repeat(study: optuna.Study, finalist: int, seed: int) -> int:
    """Add a running trial that trains a finalist with a seed; returns its number in the study."""
    origin = study.get_trials(deepcopy=False)[finalist]
    marks = {attributes.REPEAT_OF: finalist, attributes.SEED: seed}
    # A waiting trial would be taken for a trial of the search, if the search goes on with more trials.
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.RUNNING, params=origin.params, distributions=origin.distributions, user_attrs=marks
        )
    )
    return repeat_trials(study)[-1].number


def same_configuration(parameters: Mapping[str, Any]) -> str:
    """A text that is equal for equal parameters."""
    return json.dumps(parameters, sort_keys=True, default=str)


def _distinct(study: optuna.Study, expected: Mapping[int, float], objective: Objective) -> list[int]:
    """The trials with an expected value, the best first; of trials with equal parameters, the one of best value."""
    trials = [trial for trial in ended_trials(study) if trial.number in expected]
    trials.sort(key=lambda trial: objective.utility(trial.objectives[0]), reverse=True)
    first: dict[str, TrialRecord] = {}
    for trial in trials:
        first.setdefault(same_configuration(trial.parameters), trial)
    return sorted((t.number for t in first.values()), key=lambda number: (-objective.utility(expected[number]), number))


def _was_cut_off(trial: TrialRecord) -> bool:
    return trial.frozen.state == TrialState.PRUNED or (trial.result == "FAIL" and trial.failure == NO_EPOCH)
