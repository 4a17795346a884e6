"""The benchmark's figures from the records: epochs and seconds to targets, ratios to the best peer, ranks.

A search that does not reach a target has infinite cost in quantiles. In ratios it counts as its budget, or as the
seconds at its end, which are lower bounds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from benchmarks.search_quality.arms import is_ours
from benchmarks.search_quality.replay import Step
from benchmarks.search_quality.runs import LAST_TARGET, Record

TARGETS = (0.95, 0.97, 0.98, 0.99, 0.995)
"""Shares of the best value."""
RATIO_TARGETS = TARGETS[:4]
"""Targets of the geometric mean."""
RANK_POINTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
"""Parts of the budget at which searches are ranked."""
Unit = Literal["epochs", "seconds"]
Task = tuple[str, int]
"""A table and a number of slots."""


class Cost(NamedTuple):
    """What the searches of an arm spent until a target."""

    quartile: float
    median: float
    third_quartile: float
    percentile_90: float
    found: int
    runs: int


class Ratio(NamedTuple):
    """The median of an arm by the best peer's."""

    value: float
    bound: Literal["", "<", ">"]
    """`<` if the peer did not reach the target in the median, `>` if the arm did not: then `value` is a bound."""
    peer: str


def by_task(records: Iterable[Record]) -> dict[Task, dict[str, list[Record]]]:
    """Records with a curve, by table and slots, and by arm. Of a seed's records, the largest budget counts."""
    largest: dict[tuple[str, int, str, int], Record] = {}
    for record in records:
        key = (record.run.table, record.run.slots, record.run.arm, record.run.seed)
        if record.error is None and (key not in largest or record.run.budget > largest[key].run.budget):
            largest[key] = record
    tasks: dict[Task, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for (table, slots, arm, _), record in largest.items():
        tasks[table, slots][arm].append(record)
    return {task: dict(arms) for task, arms in tasks.items()}


def spent(record: Record, share: float, unit: Unit) -> float:
    """Epochs or seconds until a share of the best value; infinite if the search never reached it."""
    target = share * record.best
    step = next((step for step in record.steps if step.best >= target), None)
    return math.inf if step is None else _amount(step, unit)


def cost(records: Sequence[Record], share: float, unit: Unit) -> Cost:
    """Quantiles of what searches spent until a share of the best value."""
    amounts = [spent(record, share, unit) for record in records]
    low, middle, high, most = np.quantile(amounts, [0.25, 0.5, 0.75, 0.9], method="inverted_cdf").tolist()
    return Cost(low, middle, high, most, sum(map(math.isfinite, amounts)), len(amounts))


def ratio(arms: Mapping[str, Sequence[Record]], arm: str, share: float, unit: Unit) -> Ratio | None:
    """The median of an arm by the smallest median of a peer; None if neither reached the target in the median."""
    medians = {name: _median(records, share, unit) for name, records in arms.items()}
    peers = {name: median for name, median in medians.items() if not is_ours(name)}
    if arm not in medians or not peers:
        return None
    peer = min(peers, key=lambda name: peers[name])
    if math.isinf(medians[arm]) and math.isinf(peers[peer]):
        return None
    value = _bounded(medians[arm], arms[arm], unit) / _bounded(peers[peer], arms[peer], unit)
    return Ratio(value, ">" if math.isinf(medians[arm]) else "<" if math.isinf(peers[peer]) else "", peer)


def mean_ratio(ratios: Iterable[Ratio | None]) -> float:
    """The geometric mean of the ratios that there are; NaN if there are none."""
    logs = [math.log(each.value) for each in ratios if each]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def mean_ranks(tasks: Mapping[Task, Mapping[str, Sequence[Record]]]) -> dict[str, float]:
    """The mean rank of each arm; 1 is the best.

    At each of `RANK_POINTS`, the arms of a table, a number of slots and a seed are ranked by the best value so far.
    Values from 99.5 % of the best on are equal, and equal values share their mean rank. Each table and number of slots
    counts the same. Arms that lack runs in a task are left out of all: ranks among different arms do not compare. Of
    different budgets in a task, the smallest counts.
    """
    everywhere = set.intersection(*(set(arms) for arms in tasks.values())) if tasks else set()
    ranks: dict[str, list[float]] = {arm: [] for arm in sorted(everywhere)}
    for arms in tasks.values():
        mean = _task_ranks({arm: arms[arm] for arm in ranks})
        for arm, rank in mean.items():
            ranks[arm].append(rank)
    return {arm: float(np.mean(each)) for arm, each in ranks.items() if each}


def _task_ranks(arms: Mapping[str, Sequence[Record]]) -> dict[str, float]:
    by_seed = {arm: {record.run.seed: record for record in records} for arm, records in arms.items()}
    seeds = set.intersection(*(set(each) for each in by_seed.values())) if by_seed else set()
    budget = min(record.run.budget for records in arms.values() for record in records) if seeds else 0
    ranks = [
        _ranks([best_share(by_seed[arm][seed], point * budget) for arm in arms])
        for seed in sorted(seeds)
        for point in RANK_POINTS
    ]
    return dict(zip(arms, np.mean(ranks, axis=0), strict=True)) if ranks else {}


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1 for the largest value; equal values share their mean rank."""
    array = np.array(values)
    return [float((array > value).sum() + ((array == value).sum() + 1) / 2) for value in values]


def best_share(record: Record, epochs: float) -> float:
    """The best value after a number of epochs as a share of the table's best, at most `LAST_TARGET`."""
    best = max((step.best for step in record.steps if step.epochs <= epochs), default=-math.inf)
    return min(best / record.best, LAST_TARGET)


def decision_milliseconds(records: Sequence[Record]) -> tuple[float, float]:
    """Real milliseconds of a proposal and of an epoch's report, on average."""
    proposals = sum(record.proposals for record in records)
    epochs = sum(record.steps[-1].epochs for record in records if record.steps)
    suggested, reported = sum(r.suggest_seconds for r in records), sum(r.report_seconds for r in records)
    return 1e3 * suggested / max(proposals, 1), 1e3 * reported / max(epochs, 1)


def _median(records: Sequence[Record], share: float, unit: Unit) -> float:
    return cost(records, share, unit).median


def _bounded(median: float, records: Sequence[Record], unit: Unit) -> float:
    """A median; if most do not reach the target, the budget, or the median of the seconds at their ends."""
    if math.isfinite(median):
        return median
    ends = [record.run.budget if unit == "epochs" else record.steps[-1].seconds for record in records]
    return float(np.median(ends))


def _amount(step: Step, unit: Unit) -> float:
    return float(step.epochs if unit == "epochs" else step.seconds)
