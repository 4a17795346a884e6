"""One search: Optuna proposes, Ray Tune schedules the trials on warm gangs, and the results are written."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import ray

from decouple_search.machines.connection import alive, check_nodes, connect, room, sigterm_as_sigint, wait_for_machines
from decouple_search.machines.prepare import check_weights, prepare_data
from decouple_search.machines.trial_slots import Room
from decouple_search.plan import Options, fitting
from decouple_search.ray_tune.budget import Budget
from decouple_search.ray_tune.callbacks.live_tables import LiveTables
from decouple_search.ray_tune.callbacks.progress import LiveProgress
from decouple_search.ray_tune.callbacks.retention import Retention
from decouple_search.ray_tune.callbacks.tensorboard import TensorBoardRuns
from decouple_search.ray_tune.callbacks.utilisation import BusyMeter, Clock
from decouple_search.ray_tune.recovery import Recovery
from decouple_search.ray_tune.schedulers import Scheduler, tune_scheduler
from decouple_search.ray_tune.searcher import Reports, StudySearcher
from decouple_search.ray_tune.tuner import make_tuner
from decouple_search.report import report
from decouple_search.results import tables as results
from decouple_search.results.best_checkpoint import export_best
from decouple_search.samplers.registry import make_sampler, make_spares
from decouple_search.space.space import Space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.folder import Folder
from decouple_search.storage.mirror import Lease, Mirror
from decouple_search.study.experiment import DEFINITION, JOURNAL, check_same, goes_on, held
from decouple_search.study.record import INTERRUPTED, ended_trials, trial_name
from decouple_search.study.resume import begin, ended, go_on, newest, unfinished
from decouplenet.command_line import print_line
from decouplenet.config import Config, flatten
from decouplenet.data.augment import AUGMENTATION
from decouplenet.errors import InputError

SPARE = 10_000
"""Trials that Tune may ask for beyond those of the search: one that is lost while it starts is asked for again."""


@dataclass(frozen=True)
class Outcome:
    """What came of a search."""

    summary: dict[str, Any]
    """The content of summary.json."""
    best: dict[str, Any] | None
    """The best trial's parameters; None when no trial finished an epoch."""
    failure: str | None
    """Why the first failed trial failed."""
    interrupted: bool
    """Whether it was stopped before its budget was used up."""
    spent: str
    """What else than trials was used up, in words."""


class Search:
    """A search on a connected Ray, as a context: connects, and lets go at the end.

    Args:
        folder: to write; one with a search in it goes on.
        space: what to search.
        config: the base configuration.
        scheduler: when trials are stopped.
        options: the command's flags.
        trials: how many there are to be in all.
        sampler: how configurations are chosen.

    Raises:
        InputError: the folder cannot be written or is another search's, no trial fits on the cluster, or the data or
            weights cannot be had.
    """

    def __init__(
        self,
        folder: Folder,
        space: Space,
        config: Config,
        scheduler: Scheduler,
        options: Options,
        trials: int,
        sampler: str,
    ) -> None:
        self._folder, self.space, self.config = folder, space, config
        self._scheduler, self._options, self._trials, self._sampler = scheduler, options, trials, sampler
        self.running = 0
        """Trials that can run at a time, known once connected."""
        self.taken = ""
        """What was taken from another study, in words."""
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> Search:
        self._started = time.monotonic()
        self._ours = False
        try:
            self._take_folder()
        except BaseException:
            self._lock.close()
            raise
        try:
            grid = self._sampler == "grid"
            if self.goes_on:
                check_same(self._folder, self.space, self.config, self._scheduler, grid=grid)
            self._ours, self.growth = connect(self._options.cluster)
            wait_for_machines(self.growth())
            check_nodes(self._folder, self.growth())
            # A request that nothing can meet would wait for ever.
            self.config, nodes, _ = room(self.config, self.growth())
            self._room = Room(self.config, self.growth, min(self._options.max_concurrent or self._trials, self._trials))
            self.running = self._room()
            # Elsewhere than on this one machine the workers decode for themselves.
            read_anew = {p.key for p in self.space.parameters if p.key.startswith("data.")} - set(AUGMENTATION)
            here = len(nodes) == 1 and not read_anew
            if not prepare_data(self.config, decode=here):
                raise InputError("data.holdout: 0 leaves no image to measure trials on; give a share, such as 0.1")
            check_weights(self.config)
            url, other = self._options.optuna_storage, self._options.warm_start
            if self.goes_on:
                self.study = go_on(self.experiment, self.space, self._checkpoints, url=url)
            else:
                self.study, self.taken = begin(
                    self.experiment,
                    self.space,
                    self.config,
                    self._scheduler,
                    grid=grid,
                    url=url,
                    other=other,
                )
            # Before Tune writes there: what a next run needs to know of this one, and that it goes on with it last.
            self._folder.push(last=DEFINITION)
        except BaseException:
            self._disconnect()
            if not self.goes_on:
                shutil.rmtree(self.experiment, ignore_errors=True)  # nothing of worth is in it; its name stays free
            raise
        return self

    def _take_folder(self) -> None:
        """Make the folder this search's alone, see what is in it, and fetch what it goes on with."""
        self._lock.enter_context(self._folder)
        if self._folder.remote:
            self._lease = self._lock.enter_context(Lease(self._folder))
        self.experiment = self._folder.local
        self.goes_on = goes_on(self._folder, self._options.resume)
        try:
            self.experiment.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--storage: cannot make '{self.experiment}' ({error.strerror}); give another folder"
            ) from None
        if not self._folder.remote:
            self._lock.enter_context(held(self.experiment))
        self._checkpoints = Checkpoints(self._folder)
        for name in (DEFINITION, JOURNAL, "summary.json") if self.goes_on else ():
            self._folder.pull(name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disconnect()

    def _disconnect(self) -> None:
        self._lock.close()
        if self._ours:
            ray.shutdown()

    def run(self) -> Outcome:
        """Run the search and write the experiment folder.

        Raises:
            TrainingFailed: object storage could not be written at the end; what is not there is on this machine.
        """
        if not self._folder.remote:
            return self._run(self._checkpoints.delete)
        with Mirror(self._folder, self._checkpoints, self._lease) as mirror:
            return self._run(mirror.delete)

    def _run(self, delete: Callable[[str], None]) -> Outcome:
        options, space, trials, study = self._options, self.space, self._trials, self.study
        base = flatten(self.config.to_dict())
        epochs, pbt, sampler = self.config.train.epochs, self._scheduler.name == "pbt", self._sampler
        checkpoints, config, most, seed = self._checkpoints, self.config, self.running, options.seed
        clock = Clock(study, self._room, self._started)
        recovery = Recovery(self.config, options.max_failures, self.growth, turns=pbt)

        def prepare(number: int) -> None:  # without self, as Tune pickles it
            study.sampler = make_sampler(sampler, space, epochs, seed, number)

        left = unfinished(study, self._checkpoints, space, epochs, study.user_attrs.get("runs", 0))
        searcher = StudySearcher(
            study,
            space,
            base,
            trials=trials,
            room=(lambda: trials) if pbt else self._room,  # which trains all in turns
            prepare=prepare,
            unfinished=left,
            again=recovery.again,
            newest=lambda number: newest(study, checkpoints, space, number),
        )
        meter = BusyMeter(self.running, self._room)
        budget = Budget(
            study,
            space,
            epochs=options.epoch_budget,
            patience=options.patience,
            seconds=options.time_budget,
            before=clock.before,
            again=recovery.again,
        )
        retention = Retention(
            self._checkpoints,
            options.keep_checkpoints,
            space.metric,
            space.mode,
            recent=self._scheduler.recent_checkpoints,
            found=ended(study),
            delete=delete,
            again=recovery.again,
        )
        interrupted = False
        begun, again = searcher.asked, recovery.again
        with LiveProgress(trials, epochs, space.metric, space.mode, ended=begun, again=again) as progress:
            if best := results.best_trial(study, space):
                progress.known(best.user_attrs["best_value"], trial_name(best.number))
            if searcher.asked < trials and not budget.stop_all():
                tuner = make_tuner(
                    self._folder,
                    self._checkpoints,
                    self.config,
                    searcher,
                    tune_scheduler(
                        self._scheduler,
                        space,
                        base,
                        study=study,
                        seed=options.seed,
                        slots=lambda: min(fitting(config, alive()), most),
                        recovery=recovery,
                        system=checkpoints.system,
                        spares=make_spares(sampler, space, epochs, study),
                    ),
                    budget,
                    [
                        Reports(searcher),
                        progress,
                        TensorBoardRuns(
                            self.experiment / "tensorboard", tuple(p.key for p in space.parameters), space.metric
                        ),
                        LiveTables(self.experiment, study, space, self.config, clock),
                        meter,
                        retention,
                    ],
                    samples=trials + SPARE,
                    starting=self.running if pbt else trials,
                )
                with sigterm_as_sigint():
                    tuner.fit()
                interrupted = not budget.spent and (searcher.running > 0 or searcher.asked < trials)
        if not interrupted:
            searcher.end_running()
            retention.finish()
        study.set_user_attr(INTERRUPTED, interrupted)
        clock.note()
        outcome = self._finish(meter, budget, progress, interrupted=interrupted)
        if budget.fault:
            raise InputError(
                f"--storage: {budget.fault}; give a folder that all machines share, or mend that machine: the same "
                "command then goes on"
            )
        return outcome

    def _finish(self, meter: BusyMeter, budget: Budget, progress: LiveProgress, *, interrupted: bool) -> Outcome:
        results.write_tables(self.experiment, self.study, self.space, self.config)
        self._summarise(meter)  # there before the measuring, which may be interrupted
        export_best(self.experiment, self._checkpoints, self.study, self.space, again=not interrupted)
        best = results.best_trial(self.study, self.space)
        parameters = results.parameters_of(best) if best else None
        failure = next(iter(progress.failures), None)
        summary = self._summarise(meter)
        try:
            report(self._folder, self.study)
        except InputError as error:  # a full disk; all else is written
            print_line(f"warning: {error}")
        return Outcome(summary, parameters, failure, interrupted, budget.spent)

    def _summarise(self, meter: BusyMeter) -> dict[str, Any]:
        wall, slots = (self.study.user_attrs[name] for name in ("wall_seconds", "slot_seconds"))
        trained = sum(trial.user_attrs.get("seconds", 0.0) for trial in ended_trials(self.study))
        busy, warm = trained / slots, meter.warm()
        file = self.experiment / "summary.json"
        if not warm and self.goes_on and file.exists():  # there was nothing left to train
            warm = json.loads(file.read_text())["busy_fraction_warm"]
        summary = results.summary(self.study, self.space, wall_seconds=wall, busy=busy, busy_warm=warm)
        results.write_json(file, summary)
        return summary
