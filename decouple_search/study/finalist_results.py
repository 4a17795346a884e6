"""What the fresh seeds say of each finalist, and which finalist wins."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import optuna

from decouple_search.space.objective import Objective
from decouple_search.study.finalists import are_trained, read_choice
from decouple_search.study.record import TrialRecord, all_trials, repeat_trials

BOUND_FACTOR = 1.0
"""Standard errors between a finalist's mean and its lower bound."""


@dataclass(frozen=True, kw_only=True)
class FinalistResult:
    """A finalist, measured by its trainings with fresh seeds. The value of a training is that of its best epoch.

    The search's own value of a trial is that of its best epoch too, so the two can be compared.
    """

    trial: TrialRecord
    """The trial of the search."""
    repeats: tuple[TrialRecord, ...]
    """Its complete trainings with fresh seeds, the best first."""
    failed: int
    """The number of its trainings that failed. They count as seeds that are not there."""
    mean: float | None
    """The mean of the objective over the seeds; None without any."""
    std: float | None
    """The standard deviation of the objective over the seeds; None with fewer than 2 seeds."""
    lower_bound: float | None
    """The lower confidence bound: mean - factor * s / sqrt(n), with `BOUND_FACTOR` as the factor and n seeds.

    s is `std`. With a single seed, which has none, s is that of the other finalists (the root of their mean variance);
    if no finalist has one, the bound is the mean. For a minimised objective the bound is above the mean.
    """
    val_map_mean: float | None
    """The mean of val_map over the seeds."""
    val_map_std: float | None
    """The standard deviation of val_map over the seeds."""

    @property
    def seeds(self) -> int:
        """The number of seeds that were measured."""
        return len(self.repeats)


def finalist_results(study: optuna.Study, objective: Objective) -> list[FinalistResult]:
    """The finalists, the best lower bound first. Those without a measured seed come last.

    Finalists of an earlier choice, before more trials were searched, compete too.
    """
    choice, ended = read_choice(study), [repeat for repeat in repeat_trials(study) if repeat.ended]
    if choice is None:
        return []
    numbers = dict.fromkeys([*choice.trials, *(repeat.repeat_of for repeat in ended if repeat.repeat_of is not None)])
    measured = {
        number: [repeat for repeat in ended if repeat.repeat_of == number and repeat.result == "COMPLETE"]
        for number in numbers
    }
    variances = [
        statistics.variance(values) for repeats in measured.values() if len(values := _objectives(repeats)) > 1
    ]
    common = math.sqrt(statistics.fmean(variances)) if variances else 0.0
    trials = all_trials(study)
    results = [
        _result(
            trials[number],
            measured[number],
            objective,
            common,
            failed=sum(repeat.repeat_of == number and repeat.result == "FAIL" for repeat in ended),
        )
        for number in numbers
    ]
    return sorted(results, key=lambda each: _bound_utility(each, objective), reverse=True)


def trained_finalists(study: optuna.Study, objective: Objective) -> list[FinalistResult]:
    """As `finalist_results`, of those with a measured seed; empty until all of them are trained."""
    if not are_trained(study):
        return []
    return [result for result in finalist_results(study, objective) if result.seeds]


def _result(
    trial: TrialRecord, repeats: Sequence[TrialRecord], objective: Objective, common: float, *, failed: int
) -> FinalistResult:
    """A finalist's result.

    Args:
        trial: the trial of the search.
        repeats: its complete trainings.
        objective: the objective.
        common: the standard deviation for a finalist with a single seed.
        failed: the number of its trainings that failed.
    """
    values = _objectives(repeats)
    maps = [repeat.val_map for repeat in repeats if repeat.val_map is not None]
    mean, std = _mean(values), _std(values)
    bound = None
    if mean is not None:
        error = (common if std is None else std) / math.sqrt(len(values))
        bound = objective.utility(objective.utility(mean) - BOUND_FACTOR * error)
    best_first = sorted(repeats, key=lambda repeat: objective.utility(repeat.objectives[0]), reverse=True)
    return FinalistResult(
        trial=trial,
        repeats=tuple(best_first),
        failed=failed,
        mean=mean,
        std=std,
        lower_bound=bound,
        val_map_mean=_mean(maps),
        val_map_std=_std(maps),
    )


def _objectives(repeats: Sequence[TrialRecord]) -> list[float]:
    return [repeat.objectives[0] for repeat in repeats]


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _bound_utility(result: FinalistResult, objective: Objective) -> float:
    return -math.inf if result.lower_bound is None else objective.utility(result.lower_bound)
