"""The flags of `tune`, and a search as the user asked for it, checked. Needs neither Ray nor torch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from decouple_search.results.wider_search import WiderSearch
from decouple_search.samplers.registry import EXTENSIONS, choose_sampler, predicts, suits_pauses
from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.screen import ScreenPlan, with_count
from decouple_search.space.space import Space
from decouple_search.stopping.scheduler import SCHEDULERS, Scheduler, make_scheduler
from decouple_search.storage.folder import Folder
from decouple_search.storage.opening import open_folder
from decouple_search.study.definition import RESUME_MODES, Definition
from decouplenet.command_line import flag, parse_config
from decouplenet.config import Config
from decouplenet.errors import InputError
from decouplenet.portable import with_absolute_paths

FIXED_RANGES = ("grid", "cmaes", "nsgaii")
"""Samplers that need the same ranges for all trials: Optuna leaves a range that has changed out of their model."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command's own flags."""

    space: str = flag("demo")
    """Search space: a YAML file, or the name of a shipped space."""
    trials: int | None = flag(None, minimum=1)
    """Trials in all; default: the space's own number."""
    time_budget: float | None = flag(None, minimum=1)
    """Stop after this many seconds."""
    epoch_budget: int | None = flag(None, minimum=1)
    """Stop after this many epochs over all trials."""
    patience: int | None = flag(None, minimum=1)
    """Stop after this many trials in a row without a better one."""
    resume: str = flag("auto", names=RESUME_MODES)
    """Whether to resume a search of that name; default: auto."""
    ranges: dict[str, Any] | None = flag(None)
    """Other ends of the space's ranges: {KEY: [LOW, HIGH], ...}."""
    warm_start: str | None = flag(None)
    """Experiment whose trials are imported."""
    optuna_storage: str | None = flag(None)
    """URL of a database for the study."""
    storage: str = flag("results")
    """Folder or URI that experiments are kept in."""
    name: str | None = flag(None)
    """The experiment's folder; default: space and time."""
    workers_per_trial: int | None = flag(None)
    """Short form of --scaling.workers_per_trial."""
    max_concurrent: int | None = flag(None, minimum=1)
    """Trials that may run at the same time; default: all that fit."""
    sampler: str | None = flag(None, names=EXTENSIONS.names)
    """How configurations are proposed; default: the space's own sampler."""
    scheduler: str | None = flag(None, names=SCHEDULERS)
    """When trials are stopped; default: the space's own scheduler."""
    seed: int = flag(0)
    """Seed of the sampler."""
    max_failures: int = flag(2, minimum=0)
    """How often a trial restarts after a lost or hung worker."""
    keep_checkpoints: int | None = flag(None, minimum=1)
    """Ended trials whose best checkpoint stays on disk; default: the space's own number, or 3."""
    finalists: int | None = flag(None, minimum=0)
    """Best configurations that are trained anew with fresh seeds; default: the space's own number, or none."""
    seeds: int | None = flag(None, minimum=1)
    """Fresh seeds of each finalist; default: the space's own number."""
    screen: str | None = flag(None)
    """Heads that are screened first, on feature maps of the frozen backbone: a number, auto or off; default: the
    space's own, or off."""
    retrain_best: bool = flag(False)
    """Then train the winner in full, with the held-out images."""
    dry_run: bool = flag(False)
    """Print the plan and start nothing."""
    cluster: str | None = flag(None)
    """File of `ray up` or KubeRay: the machines that may be added."""
    epoch_seconds: float | None = flag(None, minimum=0)
    """Seconds per epoch of a trial, for the plan's hours."""
    prices: str | None = flag(None)
    """Prices per hour by type of machine, for the plan: head=0.10,gpu_spot=0.35."""

    def keys_given(self, keys: Mapping[str, Any]) -> dict[str, Any]:
        """The config keys that the user gave, dotted, with the key that `--workers-per-trial` stands for."""
        workers = self.workers_per_trial
        return {**keys, **({} if workers is None else {"scaling.workers_per_trial": workers})}


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """A search as the user asked for it, checked without Ray."""

    folder: Folder
    """The folder to write. A search in it is resumed."""
    space: Space
    """The searched space."""
    config: Config
    """The base configuration."""
    scheduler: Scheduler
    """When trials are stopped."""
    sampler: str
    """How configurations are proposed: a name of `--sampler`."""
    trials: int
    """Trials in all."""
    keep_checkpoints: int
    """Ended trials whose best checkpoint stays on disk."""
    finalists: FinalistPlan | None
    """The finalists that are trained anew at the end; None for none."""
    screen: ScreenPlan | None
    """The heads that are screened; None for none."""
    unscreened: str
    """Why a search that may screen heads by itself (auto) does not; else empty."""
    options: Options
    """The command's flags."""
    words: tuple[str, ...] | None = None
    """The words after `tune`; None for a search from Python."""

    @property
    def wider(self) -> WiderSearch:
        """How the user starts the same search with wider ranges."""
        options = self.options
        return WiderSearch(
            words=self.words,
            ranges=options.ranges or {},
            name=options.name,
            must_resume=options.resume == "must",
            warm_start=None if options.optuna_storage else self.folder.shown,
        )

    @property
    def definition(self) -> Definition:
        """The definition of the search. A resumed search must have the same one."""
        return Definition.from_search(self.space, self.config, self.scheduler, grid=self.sampler == "grid")


def request_search(space: Space, options: Options, words: Sequence[str] | None = None) -> SearchRequest:
    """The search of a space that options ask for, checked.

    Args:
        space: the searched space. It replaces `options.space`.
        options: the other options.
        words: the words after `tune`; None for a search from Python.

    Raises:
        InputError: what is wrong, and where.
    """
    space = space.with_ranges(options.ranges or {}, "--ranges")
    config = with_absolute_paths(parse_config(space.base, space.where))
    scheduler = make_scheduler(space.scheduler, options.scheduler, config.train.epochs, space)
    if scheduler.name == "promotion" and not options.scheduler and not suits_pauses(options.sampler, space):
        scheduler = replace(scheduler, name="asha")
    sampler = choose_sampler(options.sampler, scheduler.name, space, options.seed)
    _check_growth(space, scheduler.name, sampler)
    trials = options.trials or space.trials
    if scheduler.name == "pbt" and options.max_concurrent:
        raise InputError(
            "--max-concurrent: pbt trains all trials in turns on every slot; leave it out, or let a worker need more "
            "(scaling.cpus_per_worker)"
        )
    trials = min(trials, len(space.grid())) if sampler == "grid" else trials
    screen, unscreened = _screen(space, options, config, sampler)
    if screen and screen.warm_heads and "train.head_epochs" not in {*space.keys, *space.base}:
        config = replace(config, train=replace(config.train, head_epochs=screen.epochs))
    return SearchRequest(
        folder=open_folder(options.storage, options.name or f"{space.name}-{time.strftime('%Y%m%d-%H%M%S')}"),
        space=space,
        config=config,
        scheduler=scheduler,
        sampler=sampler,
        trials=trials,
        keep_checkpoints=options.keep_checkpoints or space.keep_checkpoints,
        finalists=_finalists(space, options, trials, scheduler.name),
        screen=screen,
        unscreened=unscreened,
        options=options,
        words=None if words is None else tuple(words),
    )


def _check_growth(space: Space, scheduler: str, sampler: str) -> None:
    """Refuse ranges that grow where they would not, or where a grown one would be drawn at random.

    Raises:
        InputError: the key, and what to do.
    """
    key = next((parameter.key for parameter in space.parameters if parameter.grow), None)
    if key is None:
        return
    if scheduler == "pbt":
        raise InputError(
            f"{space.where}, search, {key}: pbt starts all trials at once, so no range can grow; drop grow"
        )
    if sampler in FIXED_RANGES or (sampler == "gp" and len(space.objectives) > 1):
        raise InputError(
            f"{space.where}, search, {key}: no range can grow with the sampler {sampler}, which needs the same ranges "
            "for all trials; drop grow, or take --sampler tpe"
        )


def _screen(space: Space, options: Options, config: Config, sampler: str) -> tuple[ScreenPlan | None, str]:
    """The screened heads of a search, and why there are none although `auto` allows them; the flag wins over the space.

    Raises:
        InputError: the flag or the space gives a number of them, and the search cannot screen heads.
    """
    plan = space.screen if options.screen is None else with_count(space.screen, options.screen, "--screen")
    if plan is None:
        return None, ""
    problem = ""
    if not predicts(sampler, space):
        problem = f"the sampler {sampler} cannot learn from screened heads; take gp, with a single objective"
    elif not all(space.values_of("model.pretrained") or (config.model.pretrained,)):
        problem = "the backbone is not pretrained (model.pretrained), so its feature maps say nothing"
    elif config.train.freeze_backbone:
        problem = "every trial trains on feature maps already (train.freeze_backbone)"
    elif config.data.cache == "none":
        problem = "data.cache is none, and the feature maps need a folder"
    elif space.heads is None:
        problem = "the space searches nothing that feature maps can judge, such as model.alpha"
    if problem and plan.count is not None:
        raise InputError(f"{'--screen' if options.screen else f'{space.where}, screen'}: {problem}")
    return (None, problem) if problem else (plan, "")


def _finalists(space: Space, options: Options, trials: int, scheduler: str) -> FinalistPlan | None:
    """The finalists of a search; the flags win over the space.

    Raises:
        InputError: only one of the two numbers is given, or finalists do not fit the search.
    """
    if options.finalists == 0:
        return None
    count = options.finalists or (space.finalists.count if space.finalists else None)
    seeds = options.seeds or (space.finalists.seeds if space.finalists else None)
    if count is None and seeds is None:
        return None
    if seeds is None:
        raise InputError(f"--finalists: {count} need fresh seeds; give --seeds too, such as --seeds 3")
    if count is None:
        raise InputError("--seeds: they are those of finalists; give --finalists too, such as --finalists 3")
    if count > trials:
        raise InputError(f"--finalists: {count} are more than the {trials} trials of the search; give fewer, or 0")
    if scheduler == "pbt":
        raise InputError("--finalists: pbt changes configurations on their way, so none can be trained anew")
    if len(space.objectives) > 1:
        raise InputError("--finalists: the search has several objectives; finalists are compared by a single one")
    if "train.seed" in space.keys:
        raise InputError("--finalists: the space searches train.seed, which finalists vary; fix it")
    return FinalistPlan(count, seeds)
