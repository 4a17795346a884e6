"""Compare our search with stock searches: epochs to come within 0.5 % of the best, on a table of real trainings.

    python -m benchmarks.search_quality [--table FILE] [--slots 1 4 16] [--seeds 30] [--arms NAME ...]
                                        [--surrogate NAME] [--plot FILE]

A table (`benchmarks/table.csv`, or a file of the same form) has one row per epoch: the searched parameters under their
dotted names, `epoch`, `val_map`, `seconds`. We fit a surrogate to it, so that configurations without training have a
curve too. The surrogate is the scikit-learn regressor with the smallest error on held-out configurations; the error is
printed. We then replay whole searches with their own code (our `StudySearcher` and scheduler; Ray's `OptunaSearch` and
`AsyncHyperBandScheduler`), and the surrogate replaces the training. We count the epochs trained over all trials until
one trial reaches 99.5 % of the best of 20,000 random configurations. A search that does not reach this value within the
budget counts as the budget.
"""

from __future__ import annotations

import csv
import heapq
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core per process of the pool
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from decouple_search.space.objective import Objective
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space
from decouplenet.command_line import CommandParser, flag, run
from decouplenet.errors import InputError

DEFAULT = Path(__file__).with_name("table.csv")
CLOSE = 0.995
FACTOR, GRACE = 3, 1
ABSENT = -1.0
NO_PARAMETERS = ("epoch", "val_map", "seconds", "trial_id", "trial", "seed", "state")
MISSING = ("", "nan")  # without "none", which is a valid choice of several keys
SMALL = 1000
"""Largest number of configurations for a Gaussian process as surrogate; its fit takes minutes."""


class Table(NamedTuple):
    """A table of trainings."""

    space: Space
    """The search space, inferred from the values."""
    points: list[dict[str, Any]]
    """The configurations."""
    curves: np.ndarray
    """val_map, configurations × epochs."""


def read_table(file: Path) -> Table:
    """Read a table; skips configurations with a missing epoch or a val_map that is not a number.

    Raises:
        InputError: the file is not such a table, or too few configurations remain.
    """
    try:
        with file.open() as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise InputError(f"--table: '{file}' cannot be read ({error.strerror})") from None
    if not rows or not {"epoch", "val_map"} <= rows[0].keys():
        raise InputError(f"--table: '{file}' needs one row per epoch, with epoch, val_map and the parameters")
    # Parameters are the columns with dotted names. If there are none, they are all columns outside NO_PARAMETERS.
    names = [name for name in rows[0] if "." in name] or [name for name in rows[0] if name not in NO_PARAMETERS]
    grouped: dict[tuple[str, ...], dict[int, float]] = {}
    for number, row in enumerate(rows, start=2):
        key = tuple("" if (row[name] or "").lower() in MISSING else row[name] for name in names)
        try:
            grouped.setdefault(key, {})[int(float(row["epoch"]))] = float(row["val_map"] or "nan")
        except (ValueError, TypeError):
            raise InputError(f"--table: {file}:{number}: epoch and val_map must be numbers") from None
    counts = sorted(len(curve) for curve in grouped.values())
    epochs = counts[len(counts) // 2]  # at least half of the configurations have that many epochs
    values = {key: [curve[epoch] for epoch in sorted(curve)][:epochs] for key, curve in grouped.items()}
    complete = {key: curve for key, curve in values.items() if len(curve) == epochs and np.isfinite(curve).all()}
    if len(complete) < 10 or epochs < 2:
        content = f"{len(complete)} whole configurations of {epochs} epochs"
        raise InputError(f"--table: '{file}' has {content}; at least 10 and 2 are needed")
    parsed = [_column(name, [key[i] for key in complete]) for i, name in enumerate(names)]
    columns = [column for column in parsed if column is not None]
    points = [{p.key: column[i] for p, column in columns if column[i] is not None} for i in range(len(complete))]
    parameters = tuple(parameter for parameter, _ in columns)
    space = Space.of_parameters(file.stem, parameters, Objective("val_map", "max"))
    return Table(space, points, np.array(list(complete.values())))


def _column(name: str, texts: Sequence[str]) -> tuple[Parameter, list[Any]] | None:
    """Infer a column's parameter; returns it with the values (None if absent), or None for a constant column."""
    present = [text for text in texts if text != ""]
    if len(set(present)) < 2:
        return None
    values: list[Any]
    try:
        numbers = [float(text) for text in present]
    except ValueError:
        numbers = []
    if not numbers or not np.isfinite(numbers).all() or len(set(numbers)) <= 4:  # a few different numbers are choices
        choices = tuple(sorted(set(present)))
        return Parameter(name, "choice", choices), [text if text != "" else None for text in texts]
    low, high = min(numbers), max(numbers)
    # The scale is logarithmic if the median is closer to the geometric than to the arithmetic middle of the range.
    log = low > 0 and high / low >= 8 and statistics.median(numbers) < (math.sqrt(low * high) + (low + high) / 2) / 2
    integers = all(text.lstrip("+-").isdigit() for text in present)
    values = [None if text == "" else (int(text) if integers else float(text)) for text in texts]
    bounds: tuple[Any, Any] = (int(low), int(high)) if integers else (low, high)
    return Parameter(name, "int" if integers else "float", bounds, log=log), values


class Surrogate:
    """Predicts the learning curve of any configuration of a table's space.

    Args:
        table: the table to fit.
        name: name of the regressor; None for the regressor with the smallest error.
    """

    def __init__(self, table: Table, name: str | None = None) -> None:
        from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
        from sklearn.model_selection import KFold, cross_val_predict

        self.table = table
        x, y = np.stack([self._row(point) for point in table.points]), table.curves
        kernel = ConstantKernel() * Matern(np.full(x.shape[1], 1.0), (0.05, 50.0), nu=2.5) + WhiteKernel(0.01)
        candidates: dict[str, Any] = {
            "extra trees": ExtraTreesRegressor(300, random_state=0, n_jobs=1),
            "random forest": RandomForestRegressor(300, random_state=0, n_jobs=1),
            "Gaussian process": GaussianProcessRegressor(kernel, normalize_y=True, random_state=0),
        }
        if len(x) > SMALL:
            del candidates["Gaussian process"]
        folds = KFold(5, shuffle=True, random_state=0)
        self.errors = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # length scales of parameters without influence reach their bound
            for candidate, model in candidates.items():
                held_out = cross_val_predict(model, x, y, cv=folds)
                self.errors[candidate] = float(np.abs(held_out - y)[:, -1].mean())
            self.name = name or min(self.errors, key=lambda candidate: self.errors[candidate])
            if self.name not in candidates:
                raise InputError(f"--surrogate: unknown '{name}'; valid: {', '.join(candidates)}")
            self._model = candidates[self.name].fit(x, y)
        rng = np.random.default_rng(0)
        random = np.stack([self._row(table.space.draw(rng)) for _ in range(20_000)])
        reached = self._model.predict(random).max(1)  # not at the table's points, where trees have spikes
        self.best = float(reached.max())
        self.share_close = float((reached >= CLOSE * self.best).mean())

    def curve(self, point: Mapping[str, Any]) -> np.ndarray:
        """val_map per epoch."""
        val_maps: np.ndarray = self._model.predict(self._row(point)[None])[0]
        return val_maps

    def _row(self, point: Mapping[str, Any]) -> np.ndarray:
        """Encode a configuration: ranges as their relative position, choices one-hot, absent values as ABSENT."""
        row: list[float] = []
        for parameter in self.table.space.parameters:
            value = point.get(parameter.key)
            if parameter.kind == "choice":
                row += [float(value == choice) for choice in parameter.values]
            else:
                row.append(ABSENT if value is None else parameter.position(value))
        return np.array(row)


class Arm(NamedTuple):
    """A search: its searcher and its scheduler, and what they exchange with Tune."""

    searcher: Any
    scheduler: Any
    point: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """The configuration in what the searcher proposes."""
    result: Callable[[int, float], dict[str, Any]]
    """An epoch's result, from the epoch and its val_map."""


def ours(table: Table, seed: int, slots: int, *, sampler: str = "gp") -> Arm:
    """The default search of `decouple_search.tune`, or the same with another sampler."""
    import optuna

    from decouple_search.gang.epoch_result import EpochResult
    from decouple_search.ray_tune.recovery import LossPolicy
    from decouple_search.ray_tune.requeue import Requeue
    from decouple_search.ray_tune.schedulers import SchedulerContext, tune_scheduler
    from decouple_search.ray_tune.searcher import Proposals, StudySearcher
    from decouple_search.ray_tune.trial_spec import TrialSpec
    from decouple_search.ray_tune.tune_result import to_tune
    from decouple_search.samplers.registry import make_sampler, make_stop_veto
    from decouple_search.stopping.scheduler import make_scheduler
    from decouplenet.config import Config

    space, epochs = table.space, table.curves.shape[1]
    config = {**dict.fromkeys(space.keys), "train.epochs": epochs}
    study = optuna.create_study(direction="maximize")

    def prepare(number: int) -> None:
        study.sampler = make_sampler(sampler, space, epochs, seed, number)

    options = {"name": "asha", "grace_epochs": GRACE, "reduction_factor": FACTOR}
    proposals = Proposals(trials=10**9, slots=lambda: slots, prepare=prepare)
    context = SchedulerContext(
        space=space,
        config=config,
        study=study,
        seed=seed,
        slots=lambda: slots,
        loss_policy=LossPolicy(Config(), 0, Requeue()),  # required, but no worker is lost here
        stop_veto=make_stop_veto(sampler, space, epochs, study),
    )
    return Arm(
        searcher=StudySearcher(study, space, config, proposals),
        scheduler=tune_scheduler(make_scheduler(options, None, epochs), context),
        point=lambda proposed: TrialSpec.from_tune(proposed).config,
        result=lambda epoch, value: to_tune(EpochResult(epoch=epoch, measures={"val_map": value})),
    )


def stock(table: Table, seed: int, slots: int, *, random: bool = False, asha: bool = True) -> Arm:
    """Ray's `OptunaSearch` with its defaults, or with random proposals; with ASHA at the same rungs, or without it."""
    import optuna
    from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
    from ray.tune.search.optuna import OptunaSearch

    distributions = {parameter.key: parameter.distribution for parameter in table.space.parameters}
    sampler = {"sampler": optuna.samplers.RandomSampler(seed)} if random else {"seed": seed}
    searcher = OptunaSearch(distributions, metric="val_map", mode="max", **sampler)
    rungs = {"max_t": table.curves.shape[1], "grace_period": GRACE, "reduction_factor": FACTOR}
    objective = {"time_attr": "epoch", "metric": "val_map", "mode": "max"}
    return Arm(
        searcher=searcher,
        scheduler=AsyncHyperBandScheduler(**objective, **rungs) if asha else FIFOScheduler(),
        point=lambda proposed: proposed,
        result=lambda epoch, value: {"epoch": epoch, "training_iteration": epoch, "val_map": value},
    )


ARMS: dict[str, Callable[[Table, int, int], Arm]] = {
    "ours": ours,
    "ours with tpe": partial(ours, sampler="tpe"),
    "OptunaSearch + ASHA": stock,
    "random + ASHA": partial(stock, random=True),
    "random": partial(stock, random=True, asha=False),
}


def replay(arm: Arm, surrogate: Surrogate, slots: int, budget: int) -> int:
    """Count the epochs that a search trains until it is close to the best. All epochs take equally long."""
    from ray.tune.schedulers import TrialScheduler

    last, count, trained, now = surrogate.table.curves.shape[1], 0, 0, 0
    running: list[tuple[int, int, int, Any, np.ndarray]] = []
    while True:
        while len(running) < slots and (config := arm.searcher.suggest(f"trial-{count}")) is not None:
            curve = surrogate.curve(arm.point(config))
            trial = SimpleNamespace(trial_id=f"trial-{count}", config=config, status="RUNNING")
            arm.scheduler.on_trial_add(SimpleNamespace(get_trials=list), trial)
            heapq.heappush(running, (now + 1, count, 0, trial, curve))
            count += 1
        now, number, epoch, trial, curve = heapq.heappop(running)
        epoch, trained = epoch + 1, trained + 1
        value = float(curve[epoch - 1])
        if value >= CLOSE * surrogate.best or trained >= budget:
            return trained
        result = arm.result(epoch, value)
        stops = epoch == last or arm.scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP
        if stops:
            arm.scheduler.on_trial_complete(None, trial, result)
            arm.searcher.on_trial_complete(trial.trial_id, result)
        else:
            arm.searcher.on_trial_result(trial.trial_id, result)
            heapq.heappush(running, (now + 1, number, epoch, trial, curve))


_surrogate: Surrogate  # set in each process of the pool


def _init_process(surrogate: Surrogate) -> None:
    import logging

    import optuna

    global _surrogate
    _surrogate = surrogate
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    np.random.seed(0)


def _run(task: tuple[str, int, int, int]) -> int:
    name, slots, seed, budget = task
    np.random.seed(seed)  # Ray's ASHA draws a bracket with it, although there is only one bracket
    return replay(ARMS[name](_surrogate.table, seed, slots), _surrogate, slots, budget)


def plot(outcome: Mapping[int, Mapping[str, Sequence[int]]], budget: int, file: Path) -> None:
    """Draw one box plot of epochs per search and number of slots, on a logarithmic scale."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name in next(iter(outcome.values())):
        epochs = {slots: arms[name] for slots, arms in outcome.items()}
        labels = [f"{slots} slots" for slots, counts in epochs.items() for _ in counts]
        figure.add_box(x=labels, y=[count for counts in epochs.values() for count in counts], name=name)
    title = f"epochs to 99.5 % of the best (budget {budget})"
    figure.update_layout(boxmode="group", yaxis={"type": "log", "title": title})
    figure.write_html(file, include_plotlyjs=True)


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's flags."""

    table: str = flag(str(DEFAULT))
    """Table of trainings, csv."""
    slots: list[int] = flag([1, 4, 16])
    """Numbers of concurrent trials; default: 1 4 16."""
    seeds: int = flag(30)
    """Number of searches per kind."""
    budget: int = flag(3000)
    """Number of epochs after which a search stops."""
    arms: list[str] = flag([name for name in ARMS if "with" not in name])
    """Kinds of search; default: all but 'ours with tpe'."""
    surrogate: str | None = flag(None)
    """Regressor; default: smallest error."""
    plot: str | None = flag(None)
    """HTML file for the plot."""


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; prints a table and one line of JSON."""
    description = "Epochs to come within 0.5 % of the best."
    parser = CommandParser("python -m benchmarks.search_quality", description, Flags, config_keys=False)
    flags = parser.given(arguments).flags
    if unknown := set(flags.arms) - set(ARMS):
        raise InputError(f"--arms: unknown '{unknown.pop()}'; valid: {', '.join(ARMS)}")
    table = read_table(Path(flags.table))
    surrogate = Surrogate(table, flags.surrogate)
    print(f"{len(table.points)} configurations, {table.curves.shape[1]} epochs; best {table.curves.max():.4f}")
    for parameter in table.space.parameters:
        print(f"  {parameter.key}: {parameter}")
    errors = ", ".join(f"{name} {error:.4f}" for name, error in surrogate.errors.items())
    print(f"surrogate: {surrogate.name}; mean held-out error of the last epoch: {errors}")
    print(f"target {CLOSE * surrogate.best:.4f}, met by {surrogate.share_close:.2%} of random configurations\n")
    print(f"{'slots':>5} {'search':<22}{'median':>8}{'quartiles':>14}{'reached':>9}  ours / this")
    start = time.monotonic()
    outcome: dict[int, dict[str, list[int]]] = {}
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), _init_process, (surrogate,)) as pool:
        for slots in flags.slots:
            outcome[slots] = {}
            for name in flags.arms:
                tasks = [(name, slots, seed, flags.budget) for seed in range(flags.seeds)]
                epochs = outcome[slots][name] = pool.map(_run, tasks, chunksize=1)
                low, median, high = np.quantile(epochs, [0.25, 0.5, 0.75])
                our_epochs = outcome[slots].get("ours")
                # If the median is the budget, it is a lower bound, and the ratio is an upper bound.
                bound = "<" if our_epochs and median >= flags.budget else " "
                ratio = f"{bound:>5}{np.median(our_epochs) / median:4.2f}" if our_epochs else ""
                reached = f"{sum(count < flags.budget for count in epochs)}/{len(epochs)}"
                span = f"{low:.0f}-{high:.0f}"
                print(f"{slots:>5} {name:<22}{median:8.0f}{span:>14}{reached:>9}{ratio}", flush=True)
    print(f"\n{time.monotonic() - start:.0f} s")
    print(json.dumps(outcome))
    if flags.plot:
        plot(outcome, flags.budget, Path(flags.plot))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
