"""A search or a training from its request to its result, with what it prints. Commands and the Python API share it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from decouple_search.options import SearchRequest
from decouple_search.plan import describe
from decouple_search.ray_train.request import TrainRequest
from decouple_search.storage.folder import Folder
from decouple_search.study.definition import is_resuming
from decouplenet.command_line import print_line
from decouplenet.errors import TrainingFailed
from decouplenet.wording import counted

if TYPE_CHECKING:
    from decouple_search.ray_train.messages import TrainReport
    from decouple_search.search_run import Outcome


def run_search(request: SearchRequest) -> Outcome:
    """Run a search, or resume it; prints its plan, its progress and its outcome.

    Raises:
        InputError: the search cannot start.
        TrainingFailed: no trial ended well.
    """
    from decouplenet.data.absent import check_present  # numpy is not on the path of --help

    folder = request.folder
    is_resuming(folder, request.options.resume)
    check_present(request.config, weights="RAY_ADDRESS" not in os.environ)

    from decouple_search.search_setup import open_search  # Ray takes seconds to import, and nothing above needs it
    from decouple_search.study.ranges import growths

    with open_search(request) as search:
        plan = describe(request, search.config, search.first_slots, search.screening)
        print_line(f"{plan}\nresults    {folder.shown}" + (" (resumed)" if search.resumed else ""))
        if search.imported:
            print_line(search.imported)
        for growth in growths(search.study):
            print_line(f"note       {growth}")
        outcome = search.run()
        print_outcome(outcome, folder)
        if request.options.retrain_best and not outcome.interrupted:
            _retrain(request)
    return outcome


def print_outcome(outcome: Outcome, folder: Folder) -> None:
    """Print the outcome of a search.

    Raises:
        TrainingFailed: no trial ended well.
    """
    summary = outcome.summary
    heads = f"{counted(summary.screened, 'head')} screened, " if summary.screened else ""
    print_line(
        f"{heads}{counted(summary.trials, 'trial')} ({summary.complete} complete, {summary.pruned} pruned, "
        f"{summary.failed} failed) in {summary.wall_seconds:.0f} s; workers busy {summary.busy_fraction:.0%}, "
        f"{summary.busy_fraction_warm:.0%} once warm"
    )
    if outcome.best is None or summary.best_value is None:
        reason = "no trial ended well" + (f": {outcome.failure}" if outcome.failure else "")
        if not outcome.interrupted:
            raise TrainingFailed(reason)
        print(f"interrupted: {reason}; the same command resumes the search", file=sys.stderr)  # noqa: T201
        return
    if outcome.spent:
        print_line(f"ended      {outcome.spent}")
    if summary.pareto is not None:
        print_line(f"pareto     trials {', '.join(summary.pareto)}; of these the best in the first objective:")
    print_line(f"best       trial {summary.best_trial_id}, {summary.objective} {summary.best_value:.4f}")
    for key, value in outcome.best.items():
        shown = "null" if value is None else f"{value:.4g}" if isinstance(value, float) else value
        print_line(f"             {key} = {shown}")
    for line in summary.verdict.lines(summary.objective):
        print_line(line)
    for name in ("leaderboard.csv", "best_config.yaml", "best_checkpoint", "report.html"):
        if (folder.local / name).exists():
            print_line(f"             {folder.shown}/{name}")
    for note in outcome.notes:
        print_line(f"note       {note}")
    if outcome.interrupted:
        print_line("interrupted; the results so far are above, and the same command resumes the search")


def _retrain(request: SearchRequest) -> None:
    from decouple_search.ray_train.retrain import RETRAINED, retrain_best

    options, folder = request.options, request.folder
    best = retrain_best(folder, max_failures=options.max_failures, cluster=options.cluster)
    metric = request.space.metric
    measured = f", {metric} {best.measures[metric]:.4f} in epoch {best.epoch}" if metric in best.measures else ""
    print_line(f"retrained  {folder.shown}/{RETRAINED}/best_checkpoint{measured}")


def run_training(request: TrainRequest) -> TrainReport:
    """Run a training, or resume it; prints its plan, its progress and its result. Returns its best epoch.

    Raises:
        InputError: the training cannot start.
        TrainingFailed: it cannot go to its end.
    """
    from decouplenet.data.absent import check_present

    check_present(request.config, weights="RAY_ADDRESS" not in os.environ)

    from decouple_search.ray_train.training import open_training  # Ray takes seconds to import

    config, folder = request.config, request.folder
    with folder, open_training(request) as training:
        gpus = training.config.scaling.gpus_per_worker
        resources = f"{config.scaling.cpus_per_worker:g} CPU" + (f" and {gpus:g} GPU" if gpus else "")
        count = f"{request.min_workers} to {request.max_workers}" if request.is_elastic else f"{request.max_workers}"
        strategy = f"deepspeed, ZeRO {config.train.zero_stage}" if config.train.strategy == "deepspeed" else "ddp"
        print_line(f"data       {config.data.format}, {config.data.image_size} px")
        print_line(f"workers    {count}, {resources} each; {strategy}, {config.train.precision}")
        print_line(f"batch      {config.train.batch_size} images over all workers, {config.train.epochs} epochs")
        print_line(f"results    {folder.shown}")
        best = training.run()
    metric = config.train.objective
    measured = f", {metric} {best.measures[metric]:.4f}" if metric in best.measures else ""
    measured = measured or "; no image was held out to measure it on"
    print_line(f"best       epoch {best.epoch}{measured}\n             best_checkpoint in {folder.shown}")
    return best
