"""Our search as a searcher of the benchmark: `StudySearcher` and the scheduler of a search, driven without Tune."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.schedulers import TrialScheduler

from benchmarks.search_quality.searcher import Job, Verdict
from benchmarks.search_quality.table import Table
from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.proposals import Proposals
from decouple_search.ray_tune.recovery import LossPolicy
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.schedulers import SchedulerContext, tune_scheduler
from decouple_search.ray_tune.searcher import StudySearcher
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import to_tune
from decouple_search.samplers.promotion import Promotions
from decouple_search.samplers.registry import make_sampler, predicts
from decouple_search.stopping.scheduler import make_scheduler
from decouplenet.config import Config

NO_TRIALS = SimpleNamespace(get_trials=list)
"""Tune's controller as the scheduler asks it: no trial waits for its gang, as gangs are always there in a replay."""
ENDLESS = 10**6
"""Trials of a search that the budget of epochs ends."""


class OurSearch:
    """The search of `decouple_search.tune`.

    Args:
        table: the table that is searched.
        slots: trials that train at the same time.
        seed: the search's seed.
        sampler: name of the sampler.
        scheduler: name of the scheduler.
    """

    def __init__(self, table: Table, slots: int, seed: int, sampler: str = "gp", scheduler: str = "promotion") -> None:
        space, epochs = table.space, table.epochs
        config = {**dict.fromkeys(space.keys), "train.epochs": epochs}
        study = optuna.create_study(direction="maximize")

        def prepare(number: int) -> None:
            study.sampler = make_sampler(sampler, space, epochs, seed, number)

        rule, requeue = make_scheduler({"name": scheduler}, None, epochs), Requeue()
        promotions = None
        if scheduler == "promotion":
            by_model = predicts(sampler, space)
            promotions = Promotions(study, lambda _: space, rule, epochs, ENDLESS, by_model=by_model, seed=seed)
        proposals = Proposals(trials=ENDLESS, slots=lambda: slots, prepare=prepare, promotions=promotions)
        self._space, self._epochs, self._requeue = space, epochs, requeue
        self._searcher = StudySearcher(study, space, config, proposals, requeue)
        context = SchedulerContext(
            space=space,
            config=config,
            study=study,
            seed=seed,
            slots=lambda: slots,
            loss_policy=LossPolicy(Config(), 0, requeue),  # required, but no worker is lost here
            requeue=requeue,
            promotions=promotions,
            record=self._searcher.record,
        )
        self._scheduler: Any = tune_scheduler(rule, context)
        self._asked = 0
        self._trials: dict[int, Any] = {}  # by number, as Tune has them now

    def suggest(self) -> Job | None:
        """The next trial."""
        self._asked += 1
        proposed = self._searcher.suggest(f"trial-{self._asked}")
        if not isinstance(proposed, dict):
            return None
        trial = SimpleNamespace(trial_id=f"trial-{self._asked}", config=proposed, status="RUNNING")
        self._scheduler.on_trial_add(NO_TRIALS, trial)
        spec = TrialSpec.from_tune(proposed)
        assert spec.number is not None  # noqa: S101 - only pbt leaves it out
        self._trials[spec.number] = trial
        return Job(spec.number, self._space.present(spec.config))

    def report(self, trial: int, epoch: int, value: float, seconds: float) -> Verdict:
        """Pass on an epoch as Tune does."""
        known = self._trials[trial]
        result = to_tune(EpochResult(epoch=epoch, measures={"val_map": value, "train_seconds": seconds}))
        leaves = (
            epoch == self._epochs or self._scheduler.on_trial_result(NO_TRIALS, known, result) == TrialScheduler.STOP
        )
        if not leaves:
            self._searcher.on_trial_result(known.trial_id, result)
            return "continue"
        self._scheduler.on_trial_complete(None, known, result)
        self._searcher.on_trial_complete(known.trial_id, result)
        return "pause" if self._requeue.is_pausing(known.trial_id) else "stop"
