"""Population-based training (Jaderberg et al., 2017) on warm gangs: what Tune's scheduler needs, and explore."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ray.tune import Checkpoint
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler

from decouple_search.ray_tune.recovery import Recovers, Recovery
from decouple_search.ray_tune.schedulers import CHANGEABLE
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space
from decouple_search.study.record import curve

if TYPE_CHECKING:
    from optuna import Study


def population_scheduler(
    told: dict[str, Any],
    interval: int,
    space: Space,
    config: Mapping[str, Any],
    *,
    study: Study,
    seed: int,
    slots: Callable[[], int],
    recovery: Recovery,
    system: Any,
) -> TrialScheduler:
    """Tune's scheduler of a population.

    Args:
        told: by which measure and epoch it compares.
        interval: epochs between two comparisons of a trial with the others.
        space: what is searched.
        config: the complete base configuration, dotted.
        study: from which lost trials, and those of a search that was cut off, come back into the population.
        seed: of its choices.
        slots: trials that can run at a time, now.
        recovery: told of lost trials.
        system: pyarrow's file system that checkpoints are in; None for this machine's.
    """
    sign = 1.0 if space.mode == "max" else -1.0
    seed += study.user_attrs.get("runs", 0)  # not the same choices again

    class Population(Recovers, PopulationBasedTraining):
        """With a searcher, and with gangs, whose start costs more than some epochs."""

        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            # It refuses a searcher, as most would learn from what they did not propose.
            known = SimpleNamespace(search_alg=None, get_trials=tune_controller.get_trials)
            super().on_trial_add(known, trial)
            self._come_back(trial)

        def _come_back(self, trial: Any) -> None:
            """Give a trial that goes on the standing that it had, and what it had saved to those that take it over."""
            state, told = self._trial_state[trial], curve(study.get_trials(deepcopy=False)[int(str(trial))])
            compared, since = [epoch for epoch in told if epoch % interval == 0], trial.config.get("since")
            if compared:
                state.last_train_time = state.last_perturbation_time = max(compared)
                state.last_score = sign * told[max(compared)]
                # Of its own in this run, which alone is still there once it has one.
                state.last_checkpoint = trial.checkpoint or (Checkpoint(since, filesystem=system) if since else None)
                state.last_result = {"epoch": max(compared), space.metric: told[max(compared)]}

        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            decision = super().on_trial_result(tune_controller, trial, result)
            # It pauses a trial for one that waits. While a slot's gang is starting, that one would take the
            # paused trial's gang, and its own would be ended half-way.
            busy = sum(other.status == trial.RUNNING for other in tune_controller.get_trials())
            return TrialScheduler.CONTINUE if decision == TrialScheduler.PAUSE and busy < slots() else decision

    random.seed(seed)  # by which PopulationBasedTraining chooses donors
    made = Population(
        **told,
        perturbation_interval=interval,
        custom_explore_fn=Explorer(space, config, seed),
        require_attrs=False,  # a failed trial has no metric
        log_config=False,
    )
    made.recovery = recovery
    return made


class Explorer:
    """PBT's explore step (Jaderberg et al., 2017, section 4.1) on a space: resample, or change by a fifth.

    Only parameters that a training can go on with are changed; the others are the donor's, like its weights.

    Args:
        space: what is searched.
        base: the complete base configuration, dotted.
        seed: of the changes.
        resample: probability that a parameter is drawn anew.
    """

    def __init__(self, space: Space, base: Mapping[str, Any], seed: int, resample: float = 0.25) -> None:
        self._space, self._base, self._resample = space, base, resample
        self._random = random.Random(seed)  # noqa: S311 - no secrets

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        """A trial's config, made from its donor's, of which it takes nothing else over: not where it went on from."""
        values = dict(config["config"])
        for parameter in self._space.parameters:  # each after those that its conditions name
            if parameter.key in CHANGEABLE and parameter.key in self._space.present(values):
                values[parameter.key] = self._changed(parameter, values[parameter.key])
        absent = {p.key for p in self._space.parameters} - self._space.present(values).keys()
        made = values | {key: self._base[key] for key in absent}
        return {"config": made, "objectives": config["objectives"]}

    def _changed(self, parameter: Parameter, value: Any) -> Any:
        drawn = self._random.random() < self._resample
        if parameter.kind == "choice":
            choices = list(parameter.values)
            if drawn or value not in choices:
                return self._random.choice(choices)
            at = choices.index(value) + self._random.choice((-1, 1))
            return choices[min(max(at, 0), len(choices) - 1)]
        low, high = parameter.values
        if drawn and parameter.log:
            new = math.exp(self._random.uniform(math.log(low), math.log(high)))
        elif drawn:
            new = self._random.uniform(low, high)
        else:
            new = value * self._random.choice((0.8, 1.2))
        if parameter.step:
            new = low + round((new - low) / parameter.step) * parameter.step
        new = min(max(new, low), high)
        return round(new) if parameter.kind == "int" else new
