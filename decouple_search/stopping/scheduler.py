"""The scheduler of a search: when trials are compared, and whether a trial is stopped, by the name of `--scheduler`.

This is the pure part. `ray_tune/schedulers.py` tells Tune of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decouple_search.space.space import Space
from decouple_search.stopping.rules import Curve, asha_stops, brackets, median_stops, rungs
from decouplenet.config import FACTS
from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError

SCHEDULERS: dict[str, tuple[str, ...]] = {
    "promotion": ("grace_epochs", "reduction_factor"),
    "asha": ("grace_epochs", "reduction_factor"),
    "hyperband": ("grace_epochs", "reduction_factor"),
    "median": ("grace_epochs",),
    "pbt": ("interval_epochs",),
    "none": (),
}
"""The options that each scheduler takes in a space's `scheduler`."""
STOPPING = ("asha", "hyperband", "median")
"""The schedulers that stop trials early."""
PAUSED = 16
"""promotion: the most paused trials whose checkpoints are kept."""
CHANGEABLE = tuple(key for key, facts in FACTS.items() if facts.changeable)
"""The keys that pbt may change while a training continues."""


@dataclass(frozen=True)
class Scheduler:
    """A scheduler and its options."""

    name: str
    """A name of `SCHEDULERS`."""
    grace_epochs: int = 1
    """promotion, asha, hyperband, median: epochs that every trial trains."""
    reduction_factor: float = 3
    """promotion, asha, hyperband: of this many trials that reach a rung, one continues."""
    interval_epochs: int = 2
    """pbt: epochs between two comparisons of a trial with the others."""

    def rungs(self, epochs: int) -> list[int]:
        """The epochs after which trials are compared.

        Args:
            epochs: the epochs of a full training.
        """
        with_rungs = ("promotion", "asha", "hyperband")
        return rungs(self.grace_epochs, self.reduction_factor, epochs) if self.name in with_rungs else []

    def next_pause(self, epoch: int, epochs: int) -> int:
        """promotion: the epoch after which a trial that goes on may be paused next; the last epoch if there is none.

        The further a trial is, the longer it trains at a time: a sixth more epochs, and at least one.

        Args:
            epoch: the epochs that the trial has trained.
            epochs: the epochs of a full training.
        """
        return min(max(epoch + 1, round(epoch * 7 / 6), self.grace_epochs), epochs)

    def epochs_in_all(self, trials: int, epochs: int) -> tuple[int, int]:
        """The minimum and the maximum of epochs over all trials; the minimum if each rung lets through only its share.

        Promotion trains as many as the minimum, whichever trials it gives them to.

        Args:
            trials: number of trials.
            epochs: the epochs of a full training.
        """
        total, running, before = 0.0, float(trials), 0
        for rung in [*self.rungs(epochs), epochs]:
            total += max(running, 1) * (rung - before)
            running, before = running / self.reduction_factor, rung
        return round(total), round(total) if self.name == "promotion" else trials * epochs

    def describe(self, epochs: int) -> str:
        """A description of the scheduler, as the end of a sentence."""
        if rung_epochs := self.rungs(epochs):
            plural = "s" if len(rung_epochs) > 1 else ""
            return f"; {self.name} rung{plural} at epoch{plural} {', '.join(map(str, rung_epochs))}"
        return {
            "pbt": f"; pbt every {self.interval_epochs} epochs",
            "median": f"; median rule from epoch {self.grace_epochs} on",
        }.get(self.name, "")

    def compares(self, epoch: int, epochs: int) -> bool:
        """Whether trials are compared after this epoch of a full training of `epochs`."""
        rung_epochs = self.rungs(epochs)
        return epoch < epochs and (not rung_epochs or epoch in rung_epochs)

    def stops(self, number: int, curves: Mapping[int, Curve], epoch: int, epochs: int) -> bool:
        """Whether a trial is stopped after an epoch before the last.

        Args:
            number: the trial's number.
            curves: the curves of all trials by number, more is better. The trial's own has the epoch that just ended.
            epoch: the epoch that has just ended.
            epochs: the epochs of a full training.
        """
        if not self.compares(epoch, epochs):
            return False
        rung_epochs = self.rungs(epochs)
        curve = {e: value for e, value in curves[number].items() if e <= epoch}
        others = {other: curve for other, curve in curves.items() if other != number}
        if self.name == "median":
            return median_stops(curve, list(others.values()), epoch, grace=self.grace_epochs)
        if self.name == "hyperband":
            firsts = brackets(self.grace_epochs, self.reduction_factor, epochs)
            first = firsts[number % len(firsts)]
            rung_epochs = [rung for rung in rung_epochs if rung >= first]
            others = {other: curve for other, curve in others.items() if firsts[other % len(firsts)] == first}
        return asha_stops(curve, list(others.values()), epoch, rung_epochs=rung_epochs, factor=self.reduction_factor)

    @property
    def recent_checkpoints(self) -> int:
        """The number of newest checkpoints that a trial needs besides its best one.

        pbt hands out the checkpoint of a donor's last comparison. The donor writes some more until the next one.
        """
        return self.interval_epochs + 2 if self.name == "pbt" else 1

    @property
    def checkpoints_at_a_time(self) -> int:
        """The most checkpoints of a trial at the same time: its newest ones and its best one."""
        return self.recent_checkpoints + 1


def make_scheduler(options: Mapping[str, Any], name: str | None, epochs: int, space: Space | None = None) -> Scheduler:
    """The scheduler of a space, or the scheduler that the command line names.

    Args:
        options: the space's `scheduler`.
        name: the command line's name. The space's options count only if they belong to the same scheduler.
        epochs: the epochs of a full training.
        space: the searched space.

    Raises:
        InputError: an unknown name or option, or one that does not fit the epochs or the space.
    """
    given = dict(options)
    named_in_space = str(given.pop("name", "promotion"))
    chosen = name or named_in_space
    for scheduler_name in (named_in_space, chosen):
        if scheduler_name not in SCHEDULERS:
            raise InputError(f"scheduler: unknown '{scheduler_name}'; {nearest(scheduler_name, SCHEDULERS)}")
    for key in given:
        if key not in SCHEDULERS[named_in_space]:
            valid = ", ".join(SCHEDULERS[named_in_space]) or "none"
            raise InputError(f"scheduler: unknown option '{key}' of {named_in_space}; valid: {valid}")
    scheduler = Scheduler(chosen, **given if chosen == named_in_space else {})
    _check_ranges(scheduler, epochs)
    if chosen == "pbt" and space and not set(space.keys) & set(CHANGEABLE):
        raise InputError(
            "scheduler: pbt changes parameters during a training, and the space searches none that it can change: "
            + ", ".join(CHANGEABLE)
        )
    return scheduler


def _check_ranges(scheduler: Scheduler, epochs: int) -> None:
    for key in ("grace_epochs", "interval_epochs"):
        value = getattr(scheduler, key)
        if not isinstance(value, int) or value < 1:
            raise InputError(f"scheduler: {key} must be a whole number from 1, not {value}")
        if key in SCHEDULERS[scheduler.name] and value > epochs:
            raise InputError(f"scheduler: {key} {value} is more than train.epochs {epochs}")
    if not isinstance(scheduler.reduction_factor, (int, float)) or not 2 <= scheduler.reduction_factor < math.inf:
        raise InputError(f"scheduler: reduction_factor must be at least 2, not {scheduler.reduction_factor}")
