"""Measure how long a search takes to decide: what a free slot trains next, and which configuration a new trial has.

    python -m benchmarks.decision_time [--trials 30 300 1000] [--repeats 5]

For each number of trials it draws studies of the demo's space, with curves by a formula: as `promotion` leaves them, so
that most trials have few epochs, and with all trials trained in full, which is the most that a model has to take in.
Between decisions the study grows by a trial, and each decision reads it anew, as in a search. One core is used.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import optuna
from optuna.trial import TrialState

from decouple_search.samplers.promotion import Promotions
from decouple_search.samplers.study_model import StudyModel
from decouple_search.space.shipped import space_file
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.study import attributes
from decouple_search.study.record import search_trials
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
    for number in range(trials):
        epochs = EPOCHS if in_full or number % 9 == 0 else 1 + 2 * (number % 3 == 0)
        add_trial(study, space, epochs, rng, paused=not in_full and number >= trials - 16 and epochs < EPOCHS)
    return study


def add_trial(study: optuna.Study, space: Space, epochs: int, rng: np.random.Generator, *, paused: bool) -> None:
    """Add a random configuration with its curve to a study."""
    point = space.draw(rng)
    distributions = {parameter.key: parameter.distribution for parameter in space.parameters}
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


def decision(study: optuna.Study, space: Space, seed: int) -> tuple[float, float]:
    """Milliseconds of a choice of what a slot trains next, and of the configuration of a new trial right after it."""
    start = time.perf_counter()
    rule = Scheduler("promotion")
    Promotions(study, lambda _: space, rule, EPOCHS, 10**6, by_model=True, seed=seed).next()
    chosen = time.perf_counter()
    StudyModel(study, search_trials(study), space, EPOCHS).proposal(np.random.default_rng(seed))
    return 1000 * (chosen - start), 1000 * (time.perf_counter() - chosen)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; prints one line per study."""
    parser = CommandParser(
        "python -m benchmarks.decision_time", "Milliseconds per decision of a search.", Flags, config_keys=False
    )
    flags = parser.given(arguments).flags
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = load_space(space_file("demo"))
    print("milliseconds per decision, on one core; the first has to fit the model")
    print(f"{'trials':>7}  {'trained':<9}{'first':>8}{'choice':>8}{'configuration':>15}{'both':>8}")
    for trials in flags.trials:
        for in_full in (False, True):
            study, rng = drawn_study(space, trials, in_full=in_full), np.random.default_rng(1)
            first, repeats = sum(decision(study, space, 0)), []
            for seed in range(1, flags.repeats + 1):
                add_trial(study, space, EPOCHS if in_full else 1, rng, paused=False)
                repeats.append(decision(study, space, seed))
            choice, configuration = np.median(repeats, axis=0)
            both = np.median(np.sum(repeats, axis=1))
            kind = "in full" if in_full else "in part"
            print(f"{trials:>7}  {kind:<9}{first:>8.0f}{choice:>8.0f}{configuration:>15.0f}{both:>8.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
