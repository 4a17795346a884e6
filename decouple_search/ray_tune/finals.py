"""The finalists' trainings in a Tune run: when they begin, and which is next."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import optuna

from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.objective import Objective
from decouple_search.study.finalists import add_repeat, are_trained, choose_finalists, missing_repeats
from decouple_search.study.record import trial_name
from decouplenet.command_line import print_line
from decouplenet.wording import counted


class Finals:
    """Chooses the finalists once the search's own trials have ended, and adds their trainings to the study.

    Args:
        study: the search's study.
        objective: the objective.
        plan: how many finalists and seeds.
        expected: gives the expected value at the last epoch by trial, when the finalists are chosen.
        seed: the seed of the search.
        used_seed: the `train.seed` of the search's own trials.
    """

    def __init__(
        self,
        study: optuna.Study,
        objective: Objective,
        plan: FinalistPlan,
        expected: Callable[[], Mapping[int, float]],
        *,
        seed: int,
        used_seed: int,
    ) -> None:
        self._study, self._objective, self._plan, self._expected = study, objective, plan, expected
        self._seed, self._used_seed = seed, used_seed
        self.begun = False
        """Whether the search's own trials are over, so that its budget counts no more."""

    def begin(self) -> None:
        """Choose the finalists, unless that is done. Call it once no trial of the search is left."""
        if self.begun:
            return
        self.begun = True
        choice = choose_finalists(
            self._study,
            self._expected(),
            self._objective,
            self._plan,
            seed=self._seed,
            used_seeds=[self._used_seed],
        )
        if missing := missing_repeats(self._study):
            names = ", ".join(trial_name(number) for number in choice.trials)
            print_line(
                f"finalists  trials {names}, with {counted(len(choice.seeds), 'fresh seed')} each: "
                f"{counted(len(missing), 'training')} in full"
            )

    def next(self) -> int | None:
        """The number of a new training; None if all have started. Call it after `begin`."""
        missing = missing_repeats(self._study)
        return add_repeat(self._study, *missing[0]) if missing else None

    @property
    def are_over(self) -> bool:
        """Whether all trainings have ended."""
        return self.begun and are_trained(self._study)
