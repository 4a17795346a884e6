"""The parts of a search that follow from its request and its study alone. `search_run` puts them together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import optuna

from decouple_search.options import SearchRequest
from decouple_search.ray_tune.budget import Budget
from decouple_search.ray_tune.callbacks.progress import LiveProgress
from decouple_search.ray_tune.callbacks.retention import Retention
from decouple_search.ray_tune.callbacks.utilisation import SearchClock
from decouple_search.ray_tune.finals import Finals
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.samplers import expectation
from decouple_search.samplers.promotion import Promotions
from decouple_search.samplers.registry import predicts
from decouple_search.samplers.screening import Screening
from decouple_search.space.space import Space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.study.record import Incumbent, all_trials, ended_names
from decouple_search.study.resume import earlier_trials
from decouplenet.config import Config

EXTRA_SAMPLES = 10_000
"""Trials that Tune may ask for beyond those of the search: a trial that is requeued is asked for once more."""


SpaceOf = Callable[[int], Space]
"""The searched space of a new trial, by its number; its ranges may have grown."""


def make_finals(request: SearchRequest, study: optuna.Study, config: Config, space_of: SpaceOf) -> Finals | None:
    """The finalists' trainings; None for none."""
    if request.finalists is None:
        return None
    return Finals(
        study,
        request.space.objective,
        request.finalists,
        lambda: expectation.expected_values(study, _space_now(study, space_of), config.train.epochs),
        seed=request.options.seed,
        used_seed=config.train.seed,
    )


def make_budget(
    request: SearchRequest, study: optuna.Study, requeue: Requeue, clock: SearchClock, finals: Finals | None
) -> Budget:
    """When the search has used up its seconds, its epochs or its patience."""
    options = request.options
    return Budget(
        study,
        request.space,
        requeue,
        epochs=options.epoch_budget,
        patience=options.patience,
        seconds=options.time_budget,
        earlier_seconds=clock.earlier_seconds,
        finals=finals,
    )


def make_promotions(
    request: SearchRequest, study: optuna.Study, config: Config, space_of: SpaceOf
) -> Promotions | None:
    """What chooses between new and paused trials; None where trials do not pause."""
    if request.scheduler.name != "promotion":
        return None
    return Promotions(
        study,
        space_of,
        request.scheduler,
        config.train.epochs,
        request.trials,
        by_model=predicts(request.sampler, request.space),
        seed=request.options.seed,
    )


def make_screening(request: SearchRequest, study: optuna.Study, config: Config) -> Screening | None:
    """What chooses between screened and full trials; None where no heads are screened."""
    if request.screen is None:
        return None
    epochs, seed = config.train.epochs, request.options.seed
    return Screening(study, request.space, request.screen, epochs=epochs, seed=seed)


def make_incumbent(study: optuna.Study, config: Config, space_of: SpaceOf) -> Callable[[], Incumbent | None]:
    """What gives the trial that is expected to be the best."""
    return lambda: expectation.incumbent(study, _space_now(study, space_of), config.train.epochs)


def make_progress(
    request: SearchRequest,
    study: optuna.Study,
    config: Config,
    requeue: Requeue,
    incumbent: Callable[[], Incumbent | None],
) -> LiveProgress:
    """What prints how the search goes."""
    return LiveProgress(
        request.trials,
        config.train.epochs,
        request.space.objective,
        ended=len(ended_names(study)),
        repeats=request.finalists.trainings if request.finalists else 0,
        requeue=requeue,
        incumbent=incumbent,
    )


def make_retention(
    request: SearchRequest,
    study: optuna.Study,
    checkpoints: Checkpoints,
    requeue: Requeue,
    delete: Callable[[str], None],
) -> Retention:
    """What deletes checkpoints that nothing needs any more."""
    return Retention(
        checkpoints,
        request.keep_checkpoints,
        request.space.objective,
        recent=request.scheduler.recent_checkpoints,
        earlier=earlier_trials(study),
        delete=delete,
        requeue=requeue,
        ended=partial(ended_names, study),
    )


def _space_now(study: optuna.Study, space_of: SpaceOf) -> Space:
    """The space of the next trial, in which all earlier trials are."""
    return space_of(len(all_trials(study)))


def samples(request: SearchRequest, config: Config) -> int:
    """The most trials that Tune is asked for: one per training, and one for each time that a trial goes on."""
    times = config.train.epochs if request.scheduler.name == "promotion" else 1
    finals = request.finalists.trainings if request.finalists else 0
    return request.trials * times + finals + most_screened(request) + EXTRA_SAMPLES


def most_screened(request: SearchRequest) -> int:
    """The most heads that a search screens."""
    return request.screen.most if request.screen else 0
