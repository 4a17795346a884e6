"""Measure how long a search takes to decide: what a free slot trains next, and which configuration a new trial has.

    python -m benchmarks.decision_time [--trials 30 300 1000] [--repeats 5]

For each number of trials it draws studies of the demo's space, with curves by a formula: as `promotion` leaves them, so
that most trials have few epochs, and with all trials trained in full, which is the most that a model has to take in.
Each decision reads the study anew, as in a search. One core is used.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import optuna
from optuna.trial import TrialState

from decouple_search.samplers.epoch_sampler import EpochSampler
from decouple_search.samplers.promotion import Promotions
from decouple_search.space.shipped import space_file
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.study import attributes
from decouplenet.command_line import CommandParser, flag, run

EPOCHS = 9


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's flags."""

    trials: list[int] = flag([30, 300, 1000])
    """Numbers of trials in the study."""
    repeats: int = flag(5, minimum=1)
    """Decisions per number; the median is printed."""


def drawn_study(space: Space, trials: int, *, in_full: bool) -> optuna.Study:
    """A study of random configurations; the last 16 are paused unless all are trained in full."""
    study, rng = optuna.create_study(direction="maximize"), np.random.default_rng(0)
    distributions = {parameter.key: parameter.distribution for parameter in space.parameters}
    for number in range(trials):
        point = space.draw(rng)
        epochs = EPOCHS if in_full or number % 9 == 0 else 1 + 2 * (number % 3 == 0)
        paused = not in_full and number >= trials - 16 and epochs < EPOCHS
        top = 0.9 - 0.3 * (point["model.alpha"] - 0.7) ** 2 - 0.1 * (np.log10(point["optim.lr"]) + 2) ** 2
        curve = {e: top * (1 - 0.5 * np.exp(-e / 3)) + 0.01 * rng.standard_normal() for e in range(1, epochs + 1)}
        state = TrialState.COMPLETE if epochs == EPOCHS else TrialState.RUNNING if paused else TrialState.PRUNED
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=curve[epochs] if state == TrialState.COMPLETE else None,
                params=point,
                distributions={key: distributions[key] for key in point},
                intermediate_values=curve,
                user_attrs={attributes.EPOCHS: epochs} | ({attributes.PAUSED: epochs} if paused else {}),
            )
        )
    return study


def median_ms(call: Callable[[int], object], repeats: int) -> tuple[float, float]:
    """Milliseconds of the first call, which may fit the hyperparameters, and the median of those that follow."""
    seconds = []
    for number in range(repeats + 1):
        start = time.perf_counter()
        call(number)
        seconds.append(time.perf_counter() - start)
    return 1000 * seconds[0], 1000 * statistics.median(seconds[1:])


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; prints one line per study."""
    description = "Milliseconds per decision of a search, on one core."
    flags = (
        CommandParser("python -m benchmarks.decision_time", description, Flags, config_keys=False)
        .given(arguments)
        .flags
    )
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = load_space(space_file("demo"))
    print(f"{'trials':>7}  {'trained':<9}{'first':>8}{'next trial':>12}{'proposal':>10}   ms")
    for trials in flags.trials:
        for in_full in (False, True):
            study = drawn_study(space, trials, in_full=in_full)
            chooser = Promotions(study, lambda _: space, Scheduler("promotion"), EPOCHS, 10**6, by_model=True, seed=0)

            def propose(seed: int, study: optuna.Study = study) -> None:
                study.sampler = EpochSampler(space, EPOCHS, seed=seed)
                study.sampler.sample_relative(study, study.get_trials(deepcopy=False)[0], {})

            first, proposal = median_ms(propose, flags.repeats)
            choice = "" if in_full else f"{median_ms(lambda _, chooser=chooser: chooser.next(), flags.repeats)[1]:.0f}"
            kind = "in full" if in_full else "in part"
            print(f"{trials:>7}  {kind:<9}{first:>8.0f}{choice:>12}{proposal:>10.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
