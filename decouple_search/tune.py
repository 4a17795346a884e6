"""`python -m decouple_search.tune`: search the space of a YAML file, and write what was found.

This module reads the command line and prints the plan and the outcome. `search_run.py` does the work.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from decouple_search.dry_run import dry_run
from decouple_search.machines.cost import read_prices
from decouple_search.machines.manifest import read_cluster
from decouple_search.options import Options, SearchRequest
from decouple_search.plan import describe
from decouple_search.portable import with_absolute_paths
from decouple_search.samplers.registry import choose_sampler
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import make_scheduler
from decouple_search.storage.folder import Folder
from decouple_search.storage.opening import open_folder
from decouple_search.study.definition import is_resuming
from decouplenet.command_line import CommandParser, parse_config, print_line, run
from decouplenet.errors import InputError

if TYPE_CHECKING:
    from decouple_search.search_run import Outcome


def parser() -> CommandParser[Options]:
    """The command's flags and all config keys."""
    return CommandParser(
        "python -m decouple_search.tune",
        "Search the hyperparameters of DecoupleNet with Optuna on Ray Tune. Config keys given here win over the "
        "space's base. A searched key given here is fixed.",
        Options,
    )


def read(arguments: list[str] | None) -> SearchRequest:
    """The search that a command line asks for, checked.

    Raises:
        InputError: what is wrong, and where.
    """
    line = parser().given(arguments)
    options, keys = line.flags, line.keys
    if options.workers_per_trial is not None:
        keys["scaling.workers_per_trial"] = options.workers_per_trial
    space = load_space(options.space, keys)
    config = with_absolute_paths(parse_config(space.base, options.space))
    scheduler = make_scheduler(space.scheduler, options.scheduler, config.train.epochs, space)
    sampler = choose_sampler(options.sampler, scheduler.name, space, options.seed)
    trials = options.trials or space.trials
    if scheduler.name == "pbt" and options.max_concurrent:
        raise InputError(
            "--max-concurrent: pbt trains all trials in turns on every slot; leave it out, or let a worker need more "
            "(scaling.cpus_per_worker)"
        )
    return SearchRequest(
        folder=open_folder(options.storage, options.name or f"{space.name}-{time.strftime('%Y%m%d-%H%M%S')}"),
        space=space,
        config=config,
        scheduler=scheduler,
        sampler=sampler,
        trials=min(trials, len(space.grid())) if sampler == "grid" else trials,
        keep_checkpoints=options.keep_checkpoints or space.keep_checkpoints,
        options=options,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    request = read(arguments)
    options, folder = request.options, request.folder
    limits = read_cluster(options.cluster) if options.cluster else None
    prices = read_prices(options.prices, limits)
    if options.dry_run:
        return dry_run(request, limits, prices)
    is_resuming(folder, options.resume)

    from decouple_search.search_setup import (
        open_search,  # Ray takes seconds to import, and nothing before this needs it
    )

    with open_search(request) as search:
        plan = describe(request, search.config, search.first_slots)
        print_line(f"{plan}\nresults    {folder.shown}" + (" (resumed)" if search.resumed else ""))
        if search.imported:
            print_line(search.imported)
        code = report(search.run(), folder)
        if options.retrain_best and code == 0:
            _retrain(request)
    return code


def _retrain(request: SearchRequest) -> None:
    from decouple_search.ray_train.retrain import RETRAINED, retrain_best

    options, folder = request.options, request.folder
    best = retrain_best(folder, max_failures=options.max_failures, cluster=options.cluster)
    metric = request.space.metric
    measured = f", {metric} {best.measures[metric]:.4f} in epoch {best.epoch}" if metric in best.measures else ""
    print_line(f"retrained  {folder.shown}/{RETRAINED}/best_checkpoint{measured}")


def report(outcome: Outcome, folder: Folder) -> int:
    """Print the outcome of a search; returns the exit code."""
    summary = outcome.summary
    print_line(
        f"{summary.trials} trials ({summary.complete} complete, {summary.pruned} pruned, {summary.failed} failed) in "
        f"{summary.wall_seconds:.0f} s; workers busy {summary.busy_fraction:.0%}, "
        f"{summary.busy_fraction_warm:.0%} once warm"
    )
    if outcome.best is None or summary.best_value is None:
        reason = f": {outcome.failure}" if outcome.failure else ""
        print(f"failed: no trial ended well{reason}", file=sys.stderr)  # noqa: T201
        return 130 if outcome.interrupted else 1
    if outcome.spent:
        print_line(f"ended      {outcome.spent}")
    if summary.pareto is not None:
        print_line(f"pareto     trials {', '.join(summary.pareto)}; of these the best in the first objective:")
    print_line(f"best       trial {summary.best_trial_id}, {summary.objective} {summary.best_value:.4f}")
    for key, value in outcome.best.items():
        print_line(f"             {key} = {value:.4g}" if isinstance(value, float) else f"             {key} = {value}")
    for name in ("leaderboard.csv", "best_config.yaml", "best_checkpoint"):
        if (folder.local / name).exists():
            print_line(f"             {folder.shown}/{name}")
    if outcome.interrupted:
        print_line("interrupted; the results so far are above, and the same command resumes the search")
    return 130 if outcome.interrupted else 0


if __name__ == "__main__":
    sys.exit(run(main))
