"""When a trial is stopped early, or goes on from another's weights, by the name that `--scheduler` takes."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from decouple_search.space import Parameter, Space
from decouplenet.config import nearest
from decouplenet.errors import InputError

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler

# The options that each scheduler takes in a space's `scheduler`.
SCHEDULERS: dict[str, tuple[str, ...]] = {
    "asha": ("grace_epochs", "reduction_factor"),
    "pbt": ("interval_epochs",),
    "none": (),
}
# What PBT may change in a training that goes on: these leave the shapes of weights and optimiser as they are.
CHANGEABLE = (
    *("model.k_pos", "model.k_neg", "model.alpha"),
    *("optim.lr", "optim.backbone_lr_scale", "optim.momentum", "optim.weight_decay"),
    *("train.batch_size", "data.flip"),
)


@dataclass(frozen=True)
class Scheduler:
    """A scheduler and its options."""

    name: str
    """asha, pbt or none."""
    grace_epochs: int = 1
    """asha: epochs that every trial trains."""
    reduction_factor: float = 3
    """asha: of the trials that reach a rung, one in this many goes on."""
    interval_epochs: int = 2
    """pbt: epochs between two comparisons of a trial with the others."""

    def rungs(self, epochs: int) -> list[int]:
        """The epochs after which asha compares trials."""
        if self.name != "asha":
            return []
        count = int(math.log(epochs / self.grace_epochs) / math.log(self.reduction_factor) + 1e-9) + 1
        rungs = [int(self.grace_epochs * self.reduction_factor**k) for k in range(count)]
        return [rung for rung in rungs if rung < epochs]

    def describe(self, epochs: int) -> str:
        """What it does, as the end of a sentence."""
        if rungs := self.rungs(epochs):
            return f"; asha rungs at epochs {', '.join(map(str, rungs))}"
        return f"; pbt every {self.interval_epochs} epochs" if self.name == "pbt" else ""

    @property
    def recent_checkpoints(self) -> int:
        """Newest checkpoints that a trial needs besides its best one.

        pbt gives out the one that a donor wrote at its last comparison, and it writes some of its own until the next.
        """
        return self.interval_epochs + 2 if self.name == "pbt" else 1

    @property
    def checkpoints_at_a_time(self) -> int:
        """The most checkpoints of a trial at a time: outside pbt its best one is the newest."""
        return self.recent_checkpoints + 1 if self.name == "pbt" else 1


def make_scheduler(options: Mapping[str, Any], name: str | None, epochs: int, space: Space | None = None) -> Scheduler:
    """The scheduler of a space, or the one that the command line names.

    Args:
        options: `scheduler` of the space.
        name: the command line's; the space's options count only if they are of the same scheduler.
        epochs: of a full training.
        space: what is searched.

    Raises:
        InputError: an unknown name or option, or one that does not fit the epochs or the space.
    """
    given = dict(options)
    own = str(given.pop("name", "asha"))
    chosen = name or own
    for one in (own, chosen):
        if one not in SCHEDULERS:
            raise InputError(f"scheduler: unknown '{one}'; {nearest(one, SCHEDULERS)}")
    for key in given:
        if key not in SCHEDULERS[own]:
            valid = ", ".join(SCHEDULERS[own]) or "none"
            raise InputError(f"scheduler: unknown option '{key}' of {own}; valid: {valid}")
    scheduler = Scheduler(chosen, **given if chosen == own else {})
    for key in ("grace_epochs", "interval_epochs"):
        value = getattr(scheduler, key)
        if not isinstance(value, int) or value < 1:
            raise InputError(f"scheduler: {key} must be a whole number from 1, not {value}")
        if key in SCHEDULERS[chosen] and value > epochs:
            raise InputError(f"scheduler: {key} {value} is more than train.epochs {epochs}")
    if not isinstance(scheduler.reduction_factor, (int, float)) or not 2 <= scheduler.reduction_factor < math.inf:
        raise InputError(f"scheduler: reduction_factor must be at least 2, not {scheduler.reduction_factor}")
    if chosen == "pbt" and space and not any(p.key in CHANGEABLE for p in space.parameters):
        raise InputError(
            "scheduler: pbt changes parameters during a training, and none is searched that can be changed then: "
            + ", ".join(CHANGEABLE)
        )
    return scheduler


def tune_scheduler(
    scheduler: Scheduler, space: Space, config: Mapping[str, Any], *, seed: int, slots: int
) -> TrialScheduler:
    """Ray Tune's scheduler, told by the epoch that a trial reports.

    Args:
        scheduler: which, and its options.
        space: what is searched.
        config: the complete base configuration, dotted.
        seed: of pbt's choices.
        slots: trials that can run at a time.
    """
    from ray.tune.schedulers import (
        AsyncHyperBandScheduler,
        FIFOScheduler,
        PopulationBasedTraining,
        TrialScheduler,
    )

    told: dict[str, Any] = {"time_attr": "epoch", "metric": space.metric, "mode": space.mode}
    if scheduler.name == "asha":
        return AsyncHyperBandScheduler(
            **told,
            max_t=config["train.epochs"],
            grace_period=scheduler.grace_epochs,
            reduction_factor=scheduler.reduction_factor,
        )
    if scheduler.name == "pbt":

        class Population(PopulationBasedTraining):
            """With a searcher, and with gangs, whose start costs more than some epochs."""

            def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
                # It refuses a searcher, as most would learn from what they did not propose.
                super().on_trial_add(SimpleNamespace(search_alg=None), trial)  # type: ignore[arg-type]

            def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
                decision = super().on_trial_result(tune_controller, trial, result)
                # It pauses a trial for one that waits. While a slot's gang is starting, that one would take the
                # paused trial's gang, and its own would be ended half-way.
                busy = sum(other.status == trial.RUNNING for other in tune_controller.get_trials())
                return TrialScheduler.CONTINUE if decision == TrialScheduler.PAUSE and busy < slots else decision

        random.seed(seed)  # by which PopulationBasedTraining chooses donors
        return Population(
            **told,
            perturbation_interval=scheduler.interval_epochs,
            custom_explore_fn=Explorer(space, config, seed),
            require_attrs=False,  # a failed trial has no metric
            log_config=False,
        )
    return FIFOScheduler()


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
        """A trial's config, made from its donor's."""
        values = dict(config["config"])
        for parameter in self._space.parameters:  # each after those that its conditions name
            if parameter.key in CHANGEABLE and parameter.key in self._space.present(values):
                values[parameter.key] = self._changed(parameter, values[parameter.key])
        absent = {p.key for p in self._space.parameters} - self._space.present(values).keys()
        return {**config, "config": values | {key: self._base[key] for key in absent}}

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
