"""Tune's Tuner of a search: how Tune runs the trials that the study proposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler

from decouple_search.gang.carried import pack_extensions
from decouple_search.ray_tune.compat import allow_pending_trials
from decouple_search.ray_tune.resources import trial_resources
from decouple_search.ray_tune.searcher import StudySearcher
from decouple_search.ray_tune.trainable import DecoupleTrial
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.storage.checkpoints import TRIALS, Checkpoints
from decouple_search.storage.folder import Folder
from decouple_search.study.definition import DEFINITION
from decouple_search.study.record import trial_name
from decouplenet.config import Config


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
        folder: the search's folder.
        checkpoints: the checkpoints of its trials, which Tune writes.
        config: the base configuration; its scaling section has the needs of a trial.
        searcher: proposes trials.
        scheduler: stops trials.
        stop: stops the search.
        callbacks: called at every event, in this order.
        samples: the number of trials that Tune may ask for.
        starting: the number of trials that may wait for their machines at the same time.
    """
    allow_pending_trials(starting)
    return tune.Tuner(
        _trainable(folder, checkpoints, config),
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
            storage_filesystem=folder.ray_filesystem,
            stop=stop,
            callbacks=list(callbacks),
            failure_config=tune.FailureConfig(max_failures=-1),  # the scheduler's LossPolicy decides
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


def _trainable(folder: Folder, checkpoints: Checkpoints, config: Config) -> Any:
    """The trials' class, with what all of them share and with the resources of each."""
    trainable = tune.with_parameters(
        DecoupleTrial,
        filesystem=checkpoints.system,
        shared_file=folder.shared_file(DEFINITION),
        extensions=pack_extensions(),
    )
    return tune.with_resources(trainable, trial_resources(config.scaling))


def _folder_name(trial: Any) -> str:
    """The trial's name. A requeued trial gets another folder, because Tune numbers its checkpoints from 0."""
    attempt = TrialSpec.from_tune(trial.config).attempt
    return f"{_proposed_name(trial)}.{attempt}" if attempt else _proposed_name(trial)


def _proposed_name(trial: Any) -> str:
    """The name that a trial keeps, although pbt may later give it another config."""
    number = TrialSpec.from_tune(trial.config).number
    assert number is not None  # noqa: S101 - only pbt leaves it out, for a trial that has its name
    return trial_name(number)
