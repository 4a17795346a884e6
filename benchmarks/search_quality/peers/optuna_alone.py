"""Optuna by its own ask and tell: a sampler and a pruner, with their defaults.

`SuccessiveHalvingPruner` finds its first rung by itself once a trial has ended; `sha-1-3` is the same pruner with the
rungs 1, 3, 9, ... Hyperband is told the number of epochs, as its documentation advises.
"""

from __future__ import annotations

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import Trial, TrialState

from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.searcher import Job, Verdict


class OptunaAlone:
    """A study; a pruned trial is stopped for good.

    Args:
        problem: the search.
        sampler: tpe or gp.
        pruner: sha, sha-1-3 or hyperband.
    """

    def __init__(self, problem: Problem, pruner: str, sampler: str = "tpe") -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._problem = problem
        samplers: dict[str, type[TPESampler] | type[GPSampler]] = {"tpe": TPESampler, "gp": GPSampler}
        chosen: BaseSampler = samplers[sampler](seed=problem.seed)
        self._study = optuna.create_study(
            direction="maximize", sampler=chosen, pruner=_pruner(pruner, problem.epochs), study_name="search"
        )
        self._running: dict[int, Trial] = {}

    def suggest(self) -> Job:
        """A new trial."""
        trial = self._study.ask()
        config: dict[str, object] = {}
        for parameter in self._problem.parameters:
            if parameter.applies(config):
                config[parameter.key] = parameter.suggest(trial)
        self._running[trial.number] = trial
        return Job(trial.number, config)

    def report(self, trial: int, epoch: int, value: float, seconds: float) -> Verdict:
        """Record an epoch, and ask the pruner."""
        running = self._running[trial]
        running.report(value, epoch)
        if epoch == self._problem.epochs:
            self._study.tell(running, value)
        elif running.should_prune():
            self._study.tell(running, state=TrialState.PRUNED)
        else:
            return "continue"
        del self._running[trial]
        return "stop"


def _pruner(name: str, epochs: int) -> BasePruner:
    if name == "hyperband":
        return HyperbandPruner(max_resource=epochs)
    if name == "sha-1-3":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    return SuccessiveHalvingPruner()


def make(problem: Problem, pruner: str, sampler: str = "tpe") -> OptunaAlone:
    """The searcher of a problem."""
    return OptunaAlone(problem, pruner, sampler)
