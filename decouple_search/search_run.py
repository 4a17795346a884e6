"""A search: Optuna proposes, Ray Tune schedules the trials on warm gangs, and the results are written.

`search_setup.open_search` builds a `Search` whole. `Search.run` drives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna

from decouple_search.machines.capacity import Capacity
from decouple_search.machines.connection import (
    Connection,
    alive,
    sigterm_as_sigint,
)
from decouple_search.machines.ray_watch import ending_with_ray
from decouple_search.machines.timing import ScreenSeconds
from decouple_search.machines.trial_slots import TrialSlots
from decouple_search.options import SearchRequest
from decouple_search.ray_tune.budget import Budget
from decouple_search.ray_tune.callbacks.live_tables import LiveTables
from decouple_search.ray_tune.callbacks.recorder import EpochRecorder
from decouple_search.ray_tune.callbacks.tensorboard import TensorBoardRuns
from decouple_search.ray_tune.callbacks.utilisation import BusyMeter, SearchClock
from decouple_search.ray_tune.finals import Finals
from decouple_search.ray_tune.proposals import Proposals
from decouple_search.ray_tune.recovery import LossPolicy
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.schedulers import SchedulerContext, tune_scheduler
from decouple_search.ray_tune.searcher import StudySearcher
from decouple_search.ray_tune.tuner import make_tuner
from decouple_search.results.ending import Ending
from decouple_search.results.tables import Summary
from decouple_search.samplers.promotion import Promotions
from decouple_search.samplers.registry import make_sampler
from decouple_search.search_parts import (
    make_budget,
    make_finals,
    make_incumbent,
    make_progress,
    make_promotions,
    make_retention,
    make_screening,
    samples,
)
from decouple_search.space.space import Space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.writer import Delete, Writer
from decouple_search.study.ranges import RangeWatch, note_edges
from decouple_search.study.ranking import best_trial, search_best
from decouple_search.study.record import StudyRecord
from decouple_search.study.resume import (
    resumable_trial,
    resumable_trials,
)
from decouplenet.config import Config
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError


@dataclass(frozen=True)
class Outcome:
    """The outcome of a search."""

    summary: Summary
    """The content of summary.json."""
    best: dict[str, Any] | None
    """The best trial's parameters; None if no trial has a value."""
    failure: str | None
    """Why the first failed trial failed."""
    interrupted: bool
    """Whether the search was stopped before its budget was used up."""
    spent: str
    """Which limit ended the search, in words; empty if the number of trials did."""
    notes: tuple[str, ...] = ()
    """Notes on best values at an end of their range."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search that can run: everything that `open_search` has made ready."""

    request: SearchRequest
    """The request of the user."""
    config: Config
    """The base configuration, with its GPUs resolved."""
    connection: Connection
    """The connection to Ray."""
    writer: Writer
    """The right to write in the folder."""
    checkpoints: Checkpoints
    """The checkpoints of the trials."""
    study: optuna.Study
    """The study."""
    slots: TrialSlots
    """The number of trials that can run at the same time, over the time."""
    first_slots: int
    """The number of slots at the start."""
    screening: ScreenSeconds | str
    """The seconds that screening takes, or why they are not known, as a clause."""
    resumed: bool
    """Whether an earlier search is resumed."""
    imported: str
    """A text about the trials that were imported from another study; empty for none."""
    started: float
    """When the command started, on the monotonic clock."""

    @property
    def space(self) -> Space:
        """The searched space."""
        return self.request.space

    @property
    def experiment(self) -> Path:
        """The experiment's folder on this machine."""
        return self.request.folder.local

    def run(self) -> Outcome:
        """Run the search and write the experiment's folder.

        Raises:
            TrainingFailed: object storage could not be written at the end. The files are on this machine.
        """
        hint = "the same command resumes the search"
        if not self.request.options.name:
            hint = f"the same command with {self.request.folder.flags} resumes the search"
        with (
            self.writer.copying(self.checkpoints) as delete,
            ending_with_ray(self.connection.processes, hint, self.request.folder.push),
        ):
            return self._run(delete)

    def _run(self, delete: Delete) -> Outcome:
        requeue = Requeue()
        clock = SearchClock(self.study, self.slots, self.started)
        watch = RangeWatch(self.study, self.space, self.request.wider.note)
        finals = make_finals(self.request, self.study, self.config, watch.space_of)
        budget = make_budget(self.request, self.study, requeue, clock, finals)
        promotions = make_promotions(self.request, self.study, self.config, watch.space_of)
        searcher = self._searcher(requeue, budget, finals, watch, promotions)
        incumbent = make_incumbent(self.study, self.config, watch.space_of)
        retention = make_retention(self.request, self.study, self.checkpoints, requeue, delete)
        meter = BusyMeter(self.first_slots, self.slots)
        with make_progress(self.request, self.study, self.config, requeue, incumbent) as progress:
            best = search_best(self.study, self.space.objectives)
            if best and best.best_value is not None:
                progress.set_best(best.best_value, best.name)
            callbacks = [
                EpochRecorder(searcher),  # first: the other callbacks write what the study knows
                progress,
                TensorBoardRuns(self.experiment / "tensorboard", self.space.keys, self.space.metric),
                LiveTables(self.experiment, self.study, self.space, self.config, clock, incumbent),
                meter,
                retention,  # last: it deletes a checkpoint once the study names a newer one
            ]
            interrupted = False
            if searcher.has_more():
                self._tune(searcher, budget, callbacks, requeue, promotions)
                ended_by_budget = budget.spent and finals is None
                interrupted = not ended_by_budget and (searcher.running > 0 or searcher.has_more())
        if not interrupted:
            searcher.end_running()
            retention.finish()
        StudyRecord(self.study).interrupted = interrupted
        clock.note()
        StudyRecord(self.study).incumbent = incumbent()
        outcome = self._finish(meter, budget.spent, next(iter(progress.failures), None), interrupted=interrupted)
        if budget.fault:
            raise InputError(
                f"--storage: {budget.fault}; give a folder that all machines share, or mount it on that machine: the "
                "same command then resumes the search"
            )
        return outcome

    def _searcher(
        self, requeue: Requeue, budget: Budget, finals: Finals | None, watch: RangeWatch, promotions: Promotions | None
    ) -> StudySearcher:
        study, space, checkpoints, epochs = self.study, self.space, self.checkpoints, self.config.train.epochs
        trials, sampler, seed = self.request.trials, self.request.sampler, self.request.options.seed

        def prepare(number: int) -> None:  # without self, because Tune pickles it
            study.sampler = make_sampler(sampler, watch.before(number), epochs, seed, number)

        proposals = Proposals(
            trials=trials,
            # A population trains all its trials in turns.
            slots=partial(int, trials) if self.request.scheduler.name == "pbt" else self.slots,
            prepare=prepare,
            space_of=watch.space_of,
            resumable=resumable_trials(study, checkpoints, space, epochs, StudyRecord(study).runs or 0),
            resume_point=partial(resumable_trial, study, checkpoints, space),
            is_over=budget.is_spent,
            promotions=promotions,
            screening=make_screening(self.request, study, self.config),
            finals=finals,
        )
        return StudySearcher(study, space, flatten(self.config.to_dict()), proposals, requeue)

    def _tune(
        self,
        searcher: StudySearcher,
        budget: Budget,
        callbacks: list[Any],
        requeue: Requeue,
        promotions: Promotions | None,
    ) -> None:
        """Run the trials with Tune, until the budget is used up or the search is interrupted."""
        request, config, first_slots = self.request, self.config, self.first_slots
        population, capacity = request.scheduler.name == "pbt", Capacity(config.scaling)
        context = SchedulerContext(
            space=self.space,
            config=flatten(config.to_dict()),
            study=self.study,
            seed=request.options.seed,
            slots=lambda: min(capacity.trials(alive()), first_slots),
            loss_policy=LossPolicy(
                config, request.options.max_failures, requeue, self.connection.limits, turns=population
            ),
            filesystem=self.checkpoints.system,
            requeue=requeue,
            promotions=promotions,
            record=searcher.record,
        )
        tuner = make_tuner(
            request.folder,
            self.checkpoints,
            config,
            searcher,
            tune_scheduler(request.scheduler, context),
            budget,
            callbacks,
            samples=samples(request, config),
            starting=first_slots if population else request.trials,
        )
        with sigterm_as_sigint():
            tuner.fit()

    def _finish(self, meter: BusyMeter, spent: str, failure: str | None, *, interrupted: bool) -> Outcome:
        notes = [] if interrupted else note_edges(self.study, self.space, self.request.wider.notes)
        warm = meter.warm()
        ending = Ending(
            folder=self.request.folder,
            study=self.study,
            space=self.space,
            config=self.config,
            checkpoints=self.checkpoints,
            busy_warm=None if not warm and self.resumed else warm,  # there was nothing left to train
        )
        summary = ending.write(measure=not interrupted)
        best = best_trial(self.study, self.space.objectives)
        return Outcome(summary, best.parameters if best else None, failure, interrupted, spent, tuple(notes))
