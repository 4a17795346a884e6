"""One search: Optuna proposes, Ray Tune schedules the trials on warm gangs, and the results are written."""

from __future__ import annotations

import os
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
from decouple_search.busy import BusyMeter
from decouple_search.cluster import connect, machines, sigterm_as_sigint
from decouple_search.gang import Gang, GangHungError, read_files
from decouple_search.plan import Options, slots
from decouple_search.prepare import check_weights, prepare_data
from decouple_search.progress import LiveProgress
from decouple_search.retention import Retention
from decouple_search.schedulers import Scheduler, tune_scheduler
from decouple_search.searcher import StudySearcher, open_study, trial_name
from decouple_search.space import Space
from decouple_search.tensorboard import TensorBoardRuns
from decouple_search.trial import DecoupleTrial
from decouplenet.command_line import say
from decouplenet.config import Config, flatten, load_yaml
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


class Search:
    """A search on a connected Ray, as a context: connects, and lets go at the end.

    Args:
        experiment: the folder to write, that is not there yet.
        space: what to search.
        config: the base configuration.
        scheduler: when trials are stopped.
        options: the command's flags.
        trials: how many to run.

    Raises:
        InputError: the folder cannot be written, no trial fits on the cluster, or the data or weights cannot be had.
    """

    def __init__(
        self, experiment: Path, space: Space, config: Config, scheduler: Scheduler, options: Options, trials: int
    ) -> None:
        self.experiment, self.space, self.config = experiment.resolve(), space, config
        self._scheduler, self._options, self._trials = scheduler, options, trials
        self.running = 0
        """Trials that can run at a time, known once connected."""

    def __enter__(self) -> Search:
        self._started = time.monotonic()
        try:
            self.experiment.mkdir(parents=True)
        except OSError as error:
            raise InputError(
                f"--storage: cannot make '{self.experiment}' ({error.strerror}); give another folder"
            ) from None
        self._ours = False
        try:
            self._ours = connect()
            self.config, nodes = machines(self.config)
            self.running = min(slots(self.config, nodes), self._options.max_concurrent or self._trials, self._trials)
            # Elsewhere than on this one machine the workers decode for themselves.
            here = len(nodes) == 1 and all(not p.key.startswith("data.") for p in self.space.parameters)
            if not prepare_data(self.config, decode=here):
                raise InputError("data.holdout: 0 leaves no image to measure trials on; give a share, such as 0.1")
            check_weights(self.config)
        except BaseException:
            self._disconnect()
            self.experiment.rmdir()  # nothing is in it yet, and its name stays free
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disconnect()

    def _disconnect(self) -> None:
        if self._ours:
            ray.shutdown()

    def run(self) -> Outcome:
        """Run the search and write the experiment folder."""
        options, space, trials = self._options, self.space, self._trials
        study = open_study(self.experiment / "study.log", options.sampler, seed=options.seed, mode=space.mode)
        base = flatten(self.config.to_dict())
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self.running)  # all slots start at once, not in turn
        pbt = self._scheduler.name == "pbt"
        # pbt trains all trials in turns, and needs a search that goes on for as long as one of them does.
        searcher = StudySearcher(
            study, space, base, trials=trials, max_concurrent=trials if pbt else self.running, stay=pbt
        )
        meter = BusyMeter(self.running)
        searched = tuple(parameter.key for parameter in space.parameters)
        with LiveProgress(trials, self.config.train.epochs, space.metric, space.mode) as progress:
            tuner = tune.Tuner(
                tune.with_resources(DecoupleTrial, _trial_resources(self.config)),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=tune_scheduler(self._scheduler, space, base, seed=options.seed, slots=self.running),
                    num_samples=trials + pbt,
                    time_budget_s=options.time_budget,
                    reuse_actors=True,
                    trial_name_creator=_proposed_name,
                    trial_dirname_creator=_proposed_name,
                ),
                run_config=tune.RunConfig(
                    name="trials",
                    storage_path=str(self.experiment),
                    callbacks=[
                        progress,
                        TensorBoardRuns(self.experiment / "tensorboard", searched, space.metric),
                        _Leaderboard(self, study),
                        meter,
                        Retention(
                            options.keep_checkpoints,
                            space.metric,
                            space.mode,
                            recent=self._scheduler.recent_checkpoints,
                        ),
                    ],
                    failure_config=tune.FailureConfig(max_failures=options.max_failures),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    verbose=0,
                ),
            )
            began = time.monotonic()
            with sigterm_as_sigint():
                tuner.fit()
        spent = options.time_budget is not None and time.monotonic() - began >= options.time_budget
        cut_short = searcher.end_interrupted() or searcher.asked < trials
        return self._finish(study, meter, progress, interrupted=cut_short and not spent)

    def write_tables(self, study: optuna.Study) -> None:
        """Write the leaderboard and the best config as they stand."""
        results.write_leaderboard(self.experiment / "leaderboard.csv", study, self.space)
        if best := results.best_trial(study, self.space.mode):
            config = results.best_config(self.config, best)
            results.write_best_config(self.experiment / "best_config.yaml", config)

    def _finish(self, study: optuna.Study, meter: BusyMeter, progress: LiveProgress, *, interrupted: bool) -> Outcome:
        self.write_tables(study)
        self._summarise(study, meter)  # there before the measuring, which may be interrupted
        self._export(study)
        best = results.best_trial(study, self.space.mode)
        parameters = results.parameters_of(best) if best else None
        return Outcome(self._summarise(study, meter), parameters, next(iter(progress.failures), None), interrupted)

    def _summarise(self, study: optuna.Study, meter: BusyMeter) -> dict[str, Any]:
        wall = time.monotonic() - self._started
        busy, warm = meter.fractions(wall)
        summary = results.summary(study, self.space, wall_seconds=wall, busy=busy, busy_warm=warm)
        results.write_json(self.experiment / "summary.json", summary)
        return summary

    def _export(self, study: optuna.Study) -> None:
        """Write the best checkpoint, and measure it again."""
        target = self.experiment / "best_checkpoint"
        kept = results.best_kept(self.experiment, study, self.space)
        if kept is None:
            if results.best_trial(study, self.space.mode):
                say("warning: no trial's checkpoint was written to the end, so there is no best_checkpoint")
            return
        trial, source, told = kept
        if results.best_trial(study, self.space.mode) != trial or told["epoch"] != trial.user_attrs["best_epoch"]:
            say(
                "warning: the best epoch's checkpoint was not written to the end; best_checkpoint is trial "
                f"{trial_name(trial.number)}'s of epoch {told['epoch']}, val_map {told['val_map']:.4f}"
            )
        results.export_checkpoint(source, target, {})  # there before the measuring, too
        say("measuring the best checkpoint again")
        try:
            measured = self._measure_again(source)
        except (ray.exceptions.RayError, GangHungError, KeyboardInterrupt) as error:
            say(f"warning: the best checkpoint was not measured again ({type(error).__name__})")
            return
        results.export_checkpoint(source, target, measured)
        if abs(measured["val_map"] - told["val_map"]) > 1e-6:
            say(f"warning: val_map is {measured['val_map']:.6f}, its trial had {told['val_map']:.6f}")

    def _measure_again(self, source: Path) -> dict[str, Any]:
        """Evaluate a kept checkpoint anew, on workers like those that trained it."""
        config = Config.from_dict(load_yaml(source / "config.yaml"))
        gang = Gang(config.scaling)
        try:
            gang.start(config.to_dict())
            gang.restore(read_files(source))
            return gang.evaluate()
        finally:
            gang.stop()


class _Leaderboard(tune.Callback):
    """Rewrites the leaderboard and the best config whenever a trial has ended."""

    def __init__(self, search: Search, study: optuna.Study) -> None:
        self._search, self._study = search, study

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._write()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._write()

    def _write(self) -> None:
        try:
            self._search.write_tables(self._study)
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
