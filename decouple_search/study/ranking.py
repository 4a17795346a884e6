"""Which trial of a study is the best, by its own values and by fresh seeds; and which trials are not dominated."""

from __future__ import annotations

from collections.abc import Sequence

import optuna

from decouple_search.space.objective import Objective
from decouple_search.study.finalist_results import trained_finalists
from decouple_search.study.record import TrialRecord, ended_trials, screened_trials


def ranked_trials(study: optuna.Study, objectives: Sequence[Objective]) -> list[TrialRecord]:
    """The trials with a value, best first. The value of a trial is that of its best epoch, also if it was stopped.

    The first objective decides, then the second, and so on. Of equal trials, the earlier one comes first. Once all
    finalists are trained anew, they come before the other trials, ranked by their lower bound.
    """
    finalists = [result.trial for result in trained_finalists(study, objectives[0])]
    numbers = {trial.number for trial in finalists}
    others = [trial for trial in measured_trials(study) if trial.number not in numbers]
    return finalists + _by_value(others, objectives)


def best_trial(study: optuna.Study, objectives: Sequence[Objective]) -> TrialRecord | None:
    """The best trial: the winner of the finalists, if there are any. It is in the Pareto set; None without a value."""
    return next(iter(ranked_trials(study, objectives)), None)


def search_best(study: optuna.Study, objectives: Sequence[Objective]) -> TrialRecord | None:
    """The best trial by the search's own values, whatever the finalists say; None while no trial has a value."""
    return next(iter(_by_value(measured_trials(study), objectives)), None)


def best_training(study: optuna.Study, objectives: Sequence[Objective]) -> TrialRecord | None:
    """The training of which best_config and best_checkpoint are: the best trial, or its best one with a fresh seed."""
    finalists = trained_finalists(study, objectives[0])
    return finalists[0].repeats[0] if finalists else best_trial(study, objectives)


def pareto_set(study: optuna.Study, objectives: Sequence[Objective]) -> list[TrialRecord]:
    """The trials that no other trial dominates: at least as good in all objectives and better in at least 1."""
    trials = measured_trials(study)
    utilities = [_utilities(trial, objectives) for trial in trials]

    def dominated(values: tuple[float, ...]) -> bool:
        return any(other != values and all(a >= b for a, b in zip(other, values, strict=True)) for other in utilities)

    return [trial for trial, values in zip(trials, utilities, strict=True) if not dominated(values)]


def ranked_screened(study: optuna.Study, objectives: Sequence[Objective]) -> list[TrialRecord]:
    """The screened trials that have ended, best first, then those without a value."""
    ended = [trial for trial in screened_trials(study) if trial.ended]
    return _by_value([t for t in ended if t.measured], objectives) + [t for t in ended if not t.measured]


def measured_trials(study: optuna.Study) -> list[TrialRecord]:
    """The trials with a value, in the order in which they were proposed."""
    return [trial for trial in ended_trials(study) if trial.measured]


def _by_value(trials: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[TrialRecord]:
    return sorted(trials, key=lambda trial: (_utilities(trial, objectives), -trial.number), reverse=True)


def _utilities(trial: TrialRecord, objectives: Sequence[Objective]) -> tuple[float, ...]:
    return tuple(objective.utility(value) for objective, value in zip(objectives, trial.objectives, strict=True))
