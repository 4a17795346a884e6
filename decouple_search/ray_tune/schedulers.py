"""When a trial is stopped early, or goes on from another's weights, by the name that `--scheduler` takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from decouple_search.space.space import Space
from decouple_search.stopping.rules import asha_stops, brackets, median_stops, rungs
from decouplenet.config import nearest
from decouplenet.errors import InputError

if TYPE_CHECKING:
    from optuna import Study
    from ray.tune.schedulers import TrialScheduler

    from decouple_search.ray_tune.recovery import Recovery

# The options that each scheduler takes in a space's `scheduler`.
SCHEDULERS: dict[str, tuple[str, ...]] = {
    "asha": ("grace_epochs", "reduction_factor"),
    "hyperband": ("grace_epochs", "reduction_factor"),
    "median": ("grace_epochs",),
    "pbt": ("interval_epochs",),
    "none": (),
}
# What PBT may change in a training that goes on: these leave the shapes of weights and optimiser as they are.
CHANGEABLE = (
    *("model.k_pos", "model.k_neg", "model.alpha"),
    *("optim.lr", "optim.backbone_lr_scale", "optim.momentum", "optim.weight_decay"),
    *("train.batch_size", "train.asl_gamma_pos", "train.asl_gamma_neg", "train.asl_margin"),
    *("data.flip", "data.randaugment", "data.randaugment_magnitude", "data.cutout"),
)


@dataclass(frozen=True)
class Scheduler:
    """A scheduler and its options."""

    name: str
    """A name of `SCHEDULERS`."""
    grace_epochs: int = 1
    """asha, hyperband, median: epochs that every trial trains."""
    reduction_factor: float = 3
    """asha, hyperband: of the trials that reach a rung, one in this many goes on."""
    interval_epochs: int = 2
    """pbt: epochs between two comparisons of a trial with the others."""

    def rungs(self, epochs: int) -> list[int]:
        """The epochs after which trials are compared."""
        return rungs(self.grace_epochs, self.reduction_factor, epochs) if self.name in ("asha", "hyperband") else []

    def describe(self, epochs: int) -> str:
        """What it does, as the end of a sentence."""
        if at := self.rungs(epochs):
            return f"; {self.name} rungs at epochs {', '.join(map(str, at))}"
        return {
            "pbt": f"; pbt every {self.interval_epochs} epochs",
            "median": f"; median rule from epoch {self.grace_epochs} on",
        }.get(self.name, "")

    def stops(self, study: Study, space: Space, number: int, epochs: int, epoch: int, value: float) -> bool:
        """Whether a trial is stopped after an epoch before the last, by the curves of the study.

        Args:
            study: with what trials reported before.
            space: for whether larger is better.
            number: the trial's.
            epochs: of a full training.
            epoch: that has just ended.
            value: what it reached.
        """
        from decouple_search.study.record import curve, own_trials

        at = self.rungs(epochs)
        if epoch >= epochs or (at and epoch not in at):
            return False
        sign = 1 if space.mode == "max" else -1
        curves = {trial.number: {e: sign * v for e, v in curve(trial).items()} for trial in own_trials(study)}
        own = {e: v for e, v in curves.pop(number, {}).items() if e < epoch} | {epoch: sign * value}
        if self.name == "median":
            return median_stops(own, list(curves.values()), epoch, grace=self.grace_epochs)
        if self.name == "hyperband":
            firsts = brackets(self.grace_epochs, self.reduction_factor, epochs)
            first = firsts[number % len(firsts)]
            at = [rung for rung in at if rung >= first]
            curves = {other: one for other, one in curves.items() if firsts[other % len(firsts)] == first}
        return asha_stops(own, list(curves.values()), epoch, at=at, factor=self.reduction_factor)

    @property
    def recent_checkpoints(self) -> int:
        """Newest checkpoints that a trial needs besides its best one.

        pbt gives out the one that a donor wrote at its last comparison, and it writes some of its own until the next.
        """
        return self.interval_epochs + 2 if self.name == "pbt" else 1

    @property
    def checkpoints_at_a_time(self) -> int:
        """The most checkpoints of a trial at a time: its newest ones, and its best one."""
        return self.recent_checkpoints + 1


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
    scheduler: Scheduler,
    space: Space,
    config: Mapping[str, Any],
    *,
    study: Study,
    seed: int,
    slots: Callable[[], int],
    recovery: Recovery,
    system: Any = None,
    spares: Callable[[int, int, float], bool] | None = None,
) -> TrialScheduler:
    """Ray Tune's scheduler, told by the epoch that a trial reports.

    Args:
        scheduler: which, and its options.
        space: what is searched.
        config: the complete base configuration, dotted.
        study: whose curves stop trials, and bring back pbt's population.
        seed: of pbt's choices.
        slots: trials that can run at a time, now.
        recovery: told of lost trials.
        system: pyarrow's file system that checkpoints are in; None for this machine's.
        spares: asked with the number, epoch and value of a trial that would be stopped, whether it goes on.
    """
    from ray.tune.schedulers import FIFOScheduler, TrialScheduler

    from decouple_search.ray_tune.recovery import Recovers
    from decouple_search.study.record import note

    class Plain(Recovers, FIFOScheduler):
        """Stops none."""

    if scheduler.name == "none":
        return _with(Plain, recovery)
    if scheduler.name == "pbt":
        from decouple_search.ray_tune.population import population_scheduler

        told = {"time_attr": "epoch", "metric": space.metric, "mode": space.mode}
        interval = scheduler.interval_epochs
        return population_scheduler(
            told, interval, space, config, study=study, seed=seed, slots=slots, recovery=recovery, system=system
        )

    class Stopping(Recovers, FIFOScheduler):
        """Stops trials by a rule over the study's curves, and so needs no state of its own."""

        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            known = study.get_trials(deepcopy=False)[trial.config["trial"]].user_attrs
            again = result.get("epoch", 0) <= known.get("epochs", 0)  # decided before the search was cut off
            if again or not math.isfinite(value := result.get(space.metric, math.nan)):
                return str(TrialScheduler.CONTINUE)
            number, epoch = trial.config["trial"], result["epoch"]
            stops = scheduler.stops(study, space, number, config["train.epochs"], epoch, value)
            stops = stops and not (spares and spares(number, epoch, value))
            if stops:
                note(study, number, "stopped", epoch)
            return str(TrialScheduler.STOP if stops else TrialScheduler.CONTINUE)

    return _with(Stopping, recovery)


def _with(kind: Any, recovery: Recovery) -> TrialScheduler:
    made: TrialScheduler = kind()
    made.recovery = recovery  # type: ignore[attr-defined]
    return made
