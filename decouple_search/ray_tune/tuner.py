"""Ray Tune's side of a search: how it runs the trials that the study proposes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the leaderboard and TensorBoard are ours
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")  # a failed trial has no metric, and none is made up
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its tables ignore verbose=0
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "inf")  # the study is what a search goes on with

from ray import tune
from ray.tune.schedulers import TrialScheduler

from decouple_search.ray_tune.searcher import StudySearcher
from decouple_search.ray_tune.trainable import DecoupleTrial
from decouple_search.storage.checkpoints import TRIALS, Checkpoints
from decouple_search.storage.folder import Folder
from decouple_search.study.experiment import DEFINITION
from decouple_search.study.record import trial_name
from decouplenet.config import Config, ScalingConfig


def make_tuner(
    folder: Folder,
    checkpoints: Checkpoints,
    config: Config,
    searcher: StudySearcher,
    scheduler: TrialScheduler,
    stop: tune.Stopper,
    callbacks: Sequence[tune.Callback],
    *,
    samples: int,
    starting: int,
) -> tune.Tuner:
    """A Tuner of `DecoupleTrial`s, each in a placement group of its own.

    Args:
        folder: the search's.
        checkpoints: those of its trials, which Tune writes.
        config: the base configuration, for what a trial needs.
        searcher: what proposes trials.
        scheduler: when trials are stopped.
        stop: when all are.
        callbacks: what is told of every event, in this order.
        samples: trials that Tune may ask for.
        starting: trials that may wait for their machines at a time.
    """
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(starting)  # all slots start at once, not in turn
    return tune.Tuner(
        tune.with_resources(
            tune.with_parameters(
                DecoupleTrial,
                system=checkpoints.system,
                shared=None if folder.remote else str(folder.local / DEFINITION),
            ),
            trial_resources(config.scaling),
        ),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler,
            num_samples=samples,
            reuse_actors=True,
            trial_name_creator=_proposed_name,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            name=TRIALS,
            storage_path=checkpoints.root.rpartition("/")[0],
            storage_filesystem=checkpoints.system if folder.remote else None,
            stop=stop,
            callbacks=list(callbacks),
            failure_config=tune.FailureConfig(max_failures=-1),  # the scheduler's Recovery decides,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


def trial_resources(scaling: ScalingConfig) -> tune.PlacementGroupFactory:
    """An empty bundle for the trial itself, which only waits for its gang, and one a worker."""
    worker = {"CPU": scaling.cpus_per_worker}
    if scaling.gpus_per_worker:
        worker["GPU"] = scaling.gpus_per_worker
    bundles = [{}, *[worker] * scaling.workers_per_trial]
    return tune.PlacementGroupFactory(bundles, strategy=scaling.placement_strategy)


def _folder_name(trial: Any) -> str:
    """Its name; one that begins again in the same search gets another, since Tune numbers its checkpoints anew."""
    attempt = trial.config["attempt"]
    return f"{_proposed_name(trial)}.{attempt}" if attempt else _proposed_name(trial)


def _proposed_name(trial: Any) -> str:
    """The name that a trial keeps; under pbt its config may later be another's."""
    return trial_name(trial.config["trial"])
