"""`python -m decouple_search.tune`: search the space of a YAML file, and write what was found.

Only reads the command line and says what will happen and what came of it; `search.py` does the work.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from decouple_search.machines.cost import describe_cost, read_prices
from decouple_search.machines.manifest import read_cluster
from decouple_search.plan import (
    Options,
    describe,
    disk_use,
    epochs_in_all,
    local_nodes,
    potential,
    resolve_gpus,
    slots,
)
from decouple_search.portable import self_contained
from decouple_search.ray_tune.schedulers import SCHEDULERS, make_scheduler
from decouple_search.samplers.registry import SAMPLERS, choose_sampler
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.storage.folder import Folder
from decouple_search.study.experiment import goes_on
from decouplenet.command_line import CommandParser, parse_config, print_line, run
from decouplenet.config import Config
from decouplenet.errors import InputError

DEMO = Path(__file__).parent.parent / "search_spaces" / "demo.yaml"


def parser() -> CommandParser:
    """The command's flags and all config keys."""
    parser = CommandParser(
        "python -m decouple_search.tune",
        "Search the hyperparameters of DecoupleNet with Optuna on Ray Tune. Config keys given here win over the "
        "space's base; a searched key given here is fixed instead.",
    )
    parser.add_argument("--space", type=str, default=str(DEMO), help="search space, a YAML file")
    parser.add_argument("--trials", type=int | None, default=None, help="trials in all; default: the space's own")
    parser.add_argument("--time-budget", type=float | None, default=None, help="stop after this many seconds")
    parser.add_argument("--epoch-budget", type=int | None, default=None, help="stop after this many epochs in all")
    parser.add_argument("--patience", type=int | None, default=None, help="stop after so many trials without a better")
    parser.add_argument(
        "--resume", type=str, default="auto", help="auto, must or never go on with a search of that name"
    )
    parser.add_argument("--warm-start", type=str | None, default=None, help="experiment whose trials are taken over")
    parser.add_argument("--optuna-storage", type=str | None, default=None, help="URL of a database for the study")
    parser.add_argument("--storage", type=str, default="results", help="folder or URI that experiments are kept in")
    parser.add_argument("--name", type=str | None, default=None, help="experiment's folder; default: space and time")
    parser.add_argument("--workers-per-trial", type=int | None, default=None, help="scaling.workers_per_trial")
    parser.add_argument(
        "--max-concurrent", type=int | None, default=None, help="trials at a time; default: all that fit"
    )
    parser.add_argument(
        "--sampler", type=str | None, default=None, help=f"{', '.join(SAMPLERS)}; default: the space's own"
    )
    parser.add_argument(
        "--scheduler", type=str | None, default=None, help=f"{', '.join(SCHEDULERS)}; default: the space's own"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampler")
    parser.add_argument(
        "--max-failures", type=int, default=2, help="times a trial is started again after a lost worker"
    )
    parser.add_argument(
        "--keep-checkpoints",
        type=int | None,
        default=None,
        help="ended trials whose best checkpoint stays on disk; default: the space's own, or 3",
    )
    parser.add_argument(
        "--retrain-best", action="store_true", help="then train the winner in full, held-out images included"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and start nothing")
    parser.add_argument(
        "--cluster", type=str | None, default=None, help="file of `ray up` or KubeRay: machines that may be added"
    )
    parser.add_argument(
        "--epoch-seconds", type=float | None, default=None, help="what an epoch takes, for the plan's hours"
    )
    parser.add_argument(
        "--prices", type=str | None, default=None, help="of a machine an hour, for the plan: head=0.10,gpu_spot=0.35"
    )
    parser.add_config_keys()
    return parser


def read(arguments: list[str] | None) -> tuple[Options, Space, Config]:
    """The flags, the space and the complete base configuration of a command line, all checked.

    Raises:
        InputError: what is wrong, and where.
    """
    own, keys = parser().given(arguments)
    if own["workers_per_trial"] is not None:
        keys["scaling.workers_per_trial"] = own["workers_per_trial"]
    for name, least in (
        ("trials", 1),
        ("max_concurrent", 1),
        ("time_budget", 1),
        ("epoch_budget", 1),
        ("patience", 1),
        ("max_failures", 0),
        ("keep_checkpoints", 1),
        ("epoch_seconds", 0),
    ):
        value = own[name]
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')}: {value} is out of range; it must be at least {least}")
    space = load_space(own["space"], keys)
    if own["keep_checkpoints"] is None:
        own["keep_checkpoints"] = space.keep_checkpoints
    options = Options(**{name: own[name] for name in Options.__dataclass_fields__})
    return options, space, self_contained(parse_config(space.base, options.space))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options, space, config = read(arguments)
    trials = options.trials or space.trials
    scheduler = make_scheduler(space.scheduler, options.scheduler, config.train.epochs, space)
    sampler = choose_sampler(options.sampler, scheduler.name, space, options.seed)
    trials = min(trials, len(space.grid())) if sampler == "grid" else trials
    if scheduler.name == "pbt" and options.max_concurrent:
        raise InputError(
            "--max-concurrent: pbt trains all trials in turns on every slot there is; leave it out, or let a worker "
            "need more (scaling.cpus_per_worker)"
        )
    folder = Folder(options.storage, options.name or f"{space.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    cluster = read_cluster(options.cluster) if options.cluster else None
    prices = read_prices(options.prices, cluster)
    if options.dry_run:
        config, nodes = potential(config, cluster) if cluster else (config, local_nodes())
        config = resolve_gpus(config, nodes)
        running = min(slots(config, nodes), options.max_concurrent or trials, trials)
        print_line(describe(space, config, scheduler, options, sampler=sampler, trials=trials, running=running))
        cost = describe_cost(
            config,
            cluster,
            epochs=epochs_in_all(config, scheduler, trials),
            epoch_seconds=options.epoch_seconds,
            time_budget=options.time_budget,
            running=running,
            prices=prices,
        )
        print_line(cost)
        print_line(disk_use(space, config, scheduler, keep=options.keep_checkpoints, running=running, trials=trials))
        print_line(f"results    {folder.shown}")
        return 0
    goes_on(folder, options.resume)

    from decouple_search.search import Search  # Ray takes seconds to import, and nothing before this needs it

    with Search(folder, space, config, scheduler, options, trials, sampler) as search:
        plan = describe(
            space, search.config, scheduler, options, sampler=sampler, trials=trials, running=search.running
        )
        print_line(f"{plan}\nresults    {folder.shown}" + (", which goes on" if search.goes_on else ""))
        if search.taken:
            print_line(search.taken)
        outcome = search.run()
        code = report(outcome, folder)
        if options.retrain_best and code == 0:
            from decouple_search.ray_train.retrain import retrain_best

            best = retrain_best(folder, max_failures=options.max_failures, cluster=options.cluster)
            measured = f", val_map {best['val_map']:.4f} in epoch {best['epoch']}" if "val_map" in best else ""
            print_line(f"retrained  {folder.shown}/retrained/best_checkpoint{measured}")
    return code


def report(outcome: Any, folder: Folder) -> int:
    """Say what came of a search; returns the exit code."""
    counts = outcome.summary
    print_line(
        f"{counts['trials']} trials ({counts['complete']} complete, {counts['pruned']} pruned, "
        f"{counts['failed']} failed) in {counts['wall_seconds']:.0f} s; workers busy {counts['busy_fraction']:.0%}, "
        f"{counts['busy_fraction_warm']:.0%} once warm"
    )
    if outcome.best is None:
        reason = f": {outcome.failure}" if outcome.failure else ""
        print(f"failed: no trial ended well{reason}", file=sys.stderr)  # noqa: T201
        return 130 if outcome.interrupted else 1
    if outcome.spent:
        print_line(f"ended      {outcome.spent}")
    if "pareto" in counts:
        print_line(f"pareto     trials {', '.join(counts['pareto'])}; of these the best in the first objective:")
    print_line(f"best       trial {counts['best_trial_id']}, val_map {counts['best_val_map']:.4f}")
    for key, value in outcome.best.items():
        print_line(f"             {key} = {value:.4g}" if isinstance(value, float) else f"             {key} = {value}")
    for name in ("leaderboard.csv", "best_config.yaml", "best_checkpoint"):
        if (folder.local / name).exists():
            print_line(f"             {folder.shown}/{name}")
    if outcome.interrupted:
        print_line("interrupted; what there was by then is above, and the same command goes on")
    return 130 if outcome.interrupted else 0


if __name__ == "__main__":
    sys.exit(run(main))
