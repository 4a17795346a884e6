"""One search: Optuna proposes, Ray Tune schedules the trials on warm gangs, and the results are written."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the leaderboard and TensorBoard are ours
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")  # a failed trial has no metric, and none is made up

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its tables ignore verbose=0

import optuna
import ray
from ray import tune

from decouple_search import results
from decouple_search.best import export_best
from decouple_search.budget import Budget
from decouple_search.busy import BusyMeter
from decouple_search.cluster import connect, machines, sigterm_as_sigint
from decouple_search.experiment import (
    check_same,
    forget_tunes_state,
    goes_on,
    held,
    unfinished,
    write_definition,
)
from decouple_search.plan import Options, slots
from decouple_search.prepare import check_weights, prepare_data
from decouple_search.progress import LiveProgress
from decouple_search.retention import Retention
from decouple_search.samplers import make_sampler
from decouple_search.schedulers import Scheduler, tune_scheduler
from decouple_search.searcher import Reports, StudySearcher
from decouple_search.space import Space
from decouple_search.study import INTERRUPTED, ended_trials, note, open_study, own_trials, trial_name
from decouple_search.tensorboard import TensorBoardRuns
from decouple_search.trial import DecoupleTrial
from decouple_search.warm_start import take_over
from decouplenet.command_line import say
from decouplenet.config import Config, flatten
from decouplenet.errors import InputError


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
        experiment: the folder to write; one with a search in it goes on.
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
        experiment: Path,
        space: Space,
        config: Config,
        scheduler: Scheduler,
        options: Options,
        trials: int,
        sampler: str,
    ) -> None:
        self.experiment, self.space, self.config = experiment.resolve(), space, config
        self._scheduler, self._options, self._trials, self._sampler = scheduler, options, trials, sampler
        self.running = 0
        """Trials that can run at a time, known once connected."""
        self.taken = ""
        """What was taken from another study, in words."""
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> Search:
        self._started = time.monotonic()
        self.goes_on = goes_on(self.experiment, self._options.resume)
        try:
            self.experiment.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--storage: cannot make '{self.experiment}' ({error.strerror}); give another folder"
            ) from None
        self._ours = False
        self._lock.enter_context(held(self.experiment))
        try:
            if self.goes_on:
                check_same(self.experiment, self.space, self.config, self._scheduler, grid=self._sampler == "grid")
            self._ours = connect()
            self.config, nodes = machines(self.config)
            self.running = min(slots(self.config, nodes), self._options.max_concurrent or self._trials, self._trials)
            # Elsewhere than on this one machine the workers decode for themselves.
            here = len(nodes) == 1 and all(not p.key.startswith("data.") for p in self.space.parameters)
            if not prepare_data(self.config, decode=here):
                raise InputError("data.holdout: 0 leaves no image to measure trials on; give a share, such as 0.1")
            check_weights(self.config)
            self.study = self._open_study()
        except BaseException:
            self._disconnect()
            if not self.goes_on:
                shutil.rmtree(self.experiment)  # nothing of worth is in it yet, and its name stays free
            raise
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Without the lock: Tune pickles its callbacks at the start, and this with them."""
        return self.__dict__ | {"_lock": None}

    def _open_study(self) -> optuna.Study:
        """The study, with the start points in it; what an earlier run left is made ready to go on."""
        file, name, url = self.experiment / "study.log", self.experiment.name, self._options.optuna_storage
        if not self.goes_on:
            file.unlink(missing_ok=True)  # of a beginning that was killed
        study = open_study(file, self.space, url=url, name=name)
        if self.goes_on and "runs" not in study.user_attrs:
            raise InputError(
                f"--optuna-storage: there is no study of '{name}' in {url or file}; give the one it was begun with"
            )
        if not self.goes_on:
            if own_trials(study):
                raise InputError(f"--optuna-storage: it has a study '{name}' already; give another --name")
            if study.get_trials(deepcopy=False):  # of a beginning that was killed
                optuna.delete_study(study_name=study.study_name, storage=study._storage)
                study = open_study(file, self.space, url=url, name=name)
            if self._options.warm_start:
                self.taken = take_over(Path(self._options.warm_start), study, self.space, self.config)
            for point in () if self._sampler == "grid" else self.space.checked_start():
                study.enqueue_trial(point)
            study.set_user_attr("runs", 0)
            # Last, so that what is in the folder is whole once it can go on.
            write_definition(self.experiment, self.space, self.config, self._scheduler, grid=self._sampler == "grid")
        else:
            study.set_user_attr("runs", study.user_attrs.get("runs", 0) + 1)
            study.set_user_attr(INTERRUPTED, False)
            forget_tunes_state(self.experiment)
        return study

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disconnect()

    def _disconnect(self) -> None:
        self._lock.close()
        if self._ours:
            ray.shutdown()

    def run(self) -> Outcome:
        """Run the search and write the experiment folder."""
        options, space, trials, study = self._options, self.space, self._trials, self.study
        base = flatten(self.config.to_dict())
        epochs, before = self.config.train.epochs, study.user_attrs.get("wall_seconds", 0.0)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self.running)  # all slots start at once, not in turn
        pbt = self._scheduler.name == "pbt"

        def prepare(number: int) -> None:
            study.sampler = make_sampler(self._sampler, space, epochs, options.seed, number)

        left = unfinished(study, self.experiment, space, epochs, study.user_attrs.get("runs", 0))
        # pbt trains all trials in turns, and needs a search that goes on for as long as one of them does.
        searcher = StudySearcher(
            study,
            space,
            base,
            trials=trials,
            max_concurrent=trials if pbt else self.running,
            prepare=prepare,
            unfinished=left,
            stay=pbt,
        )
        meter = BusyMeter(self.running)
        budget = Budget(
            study,
            space,
            epochs=options.epoch_budget,
            patience=options.patience,
            seconds=options.time_budget,
            before=before,
        )
        retention = Retention(
            options.keep_checkpoints,
            space.metric,
            space.mode,
            recent=self._scheduler.recent_checkpoints,
            found=self._found(),
        )
        interrupted = False
        with LiveProgress(trials, epochs, space.metric, space.mode, ended=searcher.asked) as progress:
            if best := results.best_trial(study, space):
                progress.known(best.user_attrs["best_value"], trial_name(best.number))
            if searcher.asked < trials and not budget.stop_all():
                with sigterm_as_sigint():
                    self._tuner(searcher, meter, budget, progress, retention, before).fit()
                interrupted = not budget.spent and (searcher.running > 0 or searcher.asked < trials)
        if not interrupted:
            searcher.end_running()
            retention.finish()
        study.set_user_attr(INTERRUPTED, interrupted)
        study.set_user_attr("wall_seconds", round(before + time.monotonic() - self._started, 2))
        return self._finish(meter, budget, progress, interrupted=interrupted)

    def _tuner(
        self,
        searcher: StudySearcher,
        meter: BusyMeter,
        budget: Budget,
        progress: LiveProgress,
        retention: Retention,
        before: float,
    ) -> tune.Tuner:
        options, space = self._options, self.space
        return tune.Tuner(
            tune.with_resources(DecoupleTrial, _trial_resources(self.config)),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=tune_scheduler(
                    self._scheduler,
                    space,
                    flatten(self.config.to_dict()),
                    study=self.study,
                    seed=options.seed,
                    slots=self.running,
                ),
                num_samples=self._trials + (self._scheduler.name == "pbt"),
                reuse_actors=True,
                trial_name_creator=_proposed_name,
                trial_dirname_creator=_proposed_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=str(self.experiment),
                stop=budget,
                callbacks=[
                    Reports(searcher),
                    progress,
                    TensorBoardRuns(
                        self.experiment / "tensorboard",
                        tuple(parameter.key for parameter in space.parameters),
                        space.metric,
                    ),
                    _Leaderboard(self, time.monotonic() - before),
                    meter,
                    retention,
                ],
                failure_config=tune.FailureConfig(max_failures=options.max_failures),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )

    def _found(self) -> dict[Path, tuple[bool, bool]]:
        """The folders of trials of earlier runs, and whether each has ended, and well."""
        trials = ((self.experiment / "trials" / trial_name(trial.number), trial) for trial in own_trials(self.study))
        return {
            folder: (trial.state.is_finished(), results.state_of(trial) != "FAIL")
            for folder, trial in trials
            if folder.is_dir()
        }

    def write_tables(self) -> None:
        """Write the leaderboard and the best config as they stand."""
        results.write_leaderboard(self.experiment / "leaderboard.csv", self.study, self.space)
        if best := results.best_trial(self.study, self.space):
            config = results.best_config(self.config, best)
            results.write_best_config(self.experiment / "best_config.yaml", config)

    def _finish(self, meter: BusyMeter, budget: Budget, progress: LiveProgress, *, interrupted: bool) -> Outcome:
        self.write_tables()
        self._summarise(meter)  # there before the measuring, which may be interrupted
        export_best(self.experiment, self.study, self.space)
        best = results.best_trial(self.study, self.space)
        parameters = results.parameters_of(best) if best else None
        failure = next(iter(progress.failures), None)
        return Outcome(self._summarise(meter), parameters, failure, interrupted, budget.spent)

    def _summarise(self, meter: BusyMeter) -> dict[str, Any]:
        wall = self.study.user_attrs["wall_seconds"]
        trained = sum(trial.user_attrs.get("seconds", 0.0) for trial in ended_trials(self.study))
        busy, warm = trained / (wall * self.running), meter.warm()
        file = self.experiment / "summary.json"
        if not warm and self.goes_on and file.exists():  # there was nothing left to train
            warm = json.loads(file.read_text())["busy_fraction_warm"]
        summary = results.summary(self.study, self.space, wall_seconds=wall, busy=busy, busy_warm=warm)
        results.write_json(file, summary)
        return summary


class _Leaderboard(tune.Callback):
    """Rewrites the leaderboard and the best config whenever a trial has ended, and notes the time spent.

    Args:
        search: whose.
        since: when the search would have begun had it not been cut off, on the monotonic clock.
    """

    def __init__(self, search: Search, since: float) -> None:
        self._search, self._since = search, since

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
        self._note_time()

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        note(self._search.study, int(str(trial)), "checkpoint", checkpoint.path)  # its config may be another's

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._write()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._write()

    def _note_time(self) -> None:
        self._search.study.set_user_attr("wall_seconds", round(time.monotonic() - self._since, 2))

    def _write(self) -> None:
        self._note_time()
        try:
            self._search.write_tables()
        except OSError as error:  # Tune would take it for the trial's; the end of the search writes them again
            say(f"warning: the leaderboard was not written ({error.strerror}: {error.filename})")


def _trial_resources(config: Config) -> tune.PlacementGroupFactory:
    """An empty bundle for the trial itself, which only waits for its gang, and one a worker."""
    scaling = config.scaling
    worker = {"CPU": scaling.cpus_per_worker}
    if scaling.gpus_per_worker:
        worker["GPU"] = scaling.gpus_per_worker
    bundles = [{}, *[worker] * scaling.workers_per_trial]
    return tune.PlacementGroupFactory(bundles, strategy=scaling.placement_strategy)


def _proposed_name(trial: Any) -> str:
    """The name that a trial keeps; under pbt its config may later be another's."""
    return trial_name(trial.config["trial"])
