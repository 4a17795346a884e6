"""The figures as text.

Costs are printed as median (quartiles; 90th percentile) found/searches; - is a search that did not find it. `at the
end` is the median share of the best value when the searches ended.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.search_quality.arms import is_ours, place
from benchmarks.search_quality.figures import (
    RATIO_TARGETS,
    TARGETS,
    Cost,
    Ratio,
    Task,
    Unit,
    best_share,
    by_task,
    cost,
    decision_milliseconds,
    mean_ranks,
    mean_ratio,
    ratio,
)
from benchmarks.search_quality.runs import Record

UNITS: tuple[Unit, ...] = ("epochs", "seconds")
WIDTH = 25


def report(records: Sequence[Record]) -> Iterator[str]:
    """All figures, line by line."""
    tasks, failed = by_task(records), _failures(records)
    for task in sorted({*tasks, *failed}):
        yield from _task(task, tasks.get(task, {}), failed.get(task, []))
    for arm in sorted({name for arms in tasks.values() for name in arms if is_ours(name)}, key=place):
        yield from _ratios(arm, tasks)
    yield from _mean_ranks(tasks)


def _failures(records: Iterable[Record]) -> dict[Task, list[str]]:
    """A line for each arm and error, by table and slots."""
    counts = Counter(
        ((record.run.table, record.run.slots), record.run.arm, record.error) for record in records if record.error
    )
    lines: dict[Task, list[str]] = {}
    for (task, arm, error), count in counts.items():
        lines.setdefault(task, []).append(f"  {arm:<{WIDTH}} {count} not run: {error}")
    return lines


def _task(task: Task, arms: Mapping[str, Sequence[Record]], failed: Sequence[str]) -> Iterator[str]:
    """The costs of all arms on a table, first in epochs, then in simulated seconds, and the arms that failed."""
    table, slots = task
    budgets = sorted({record.run.budget for records in arms.values() for record in records})
    budget = " or ".join(map(str, budgets)) or "no"
    for unit in UNITS:
        yield f"{table}, {slots} slots, budget {budget} epochs: {unit} to a share of the best"
        head = "".join(f"{f'{share:.1%}':>31}" for share in TARGETS)
        yield f"  {'':<{WIDTH}}{head}{'at the end':>12}{'proposal':>12}{'report':>10}"
        for arm in sorted(arms, key=place):
            cells = "".join(f"{_cost(cost(arms[arm], share, unit)):>31}" for share in TARGETS)
            end = statistics.median(best_share(record, math.inf) for record in arms[arm])
            proposal, epoch = decision_milliseconds(arms[arm])
            yield f"  {arm:<{WIDTH}}{cells}{end:>12.1%}{proposal:>9.1f} ms{epoch:>7.1f} ms"
        yield from failed
        yield ""


def _cost(each: Cost) -> str:
    if not each.found:
        return f"- 0/{each.runs}"
    quartiles = f"{_amount(each.quartile)} to {_amount(each.third_quartile)}"
    return f"{_amount(each.median)} ({quartiles}; {_amount(each.percentile_90)}) {each.found}/{each.runs}"


def _amount(value: float) -> str:
    return "-" if math.isinf(value) else f"{value:.0f}" if value < 1e5 else f"{value:.1e}"


def _ratios(arm: str, tasks: Mapping[Task, Mapping[str, Sequence[Record]]]) -> Iterator[str]:
    """The ratios of an arm to the best peer, on each table and over all."""
    for unit in UNITS:
        yield f"{arm} / best peer, medians of {unit}; < and > are bounds, - reached by neither"
        head = "".join(f"{f'{share:.0%}':>34}" for share in RATIO_TARGETS)
        yield f"  {'':<34}{head}{'mean':>8}"
        overall: list[Ratio | None] = []
        for (table, slots), arms in sorted(tasks.items()):
            ratios = [ratio(arms, arm, share, unit) for share in RATIO_TARGETS]
            overall += ratios
            cells = "".join(f"{_ratio(each):>34}" for each in ratios)
            yield f"  {f'{table}, {slots} slots':<34}{cells}{mean_ratio(ratios):>8.2f}"
        yield f"  {'geometric mean':<34}{'':{34 * len(RATIO_TARGETS)}}{mean_ratio(overall):>8.2f}\n"


def _ratio(each: Ratio | None) -> str:
    return f"{each.bound}{each.value:.2f} {each.peer}" if each else "-"


def _mean_ranks(tasks: Mapping[Task, Mapping[str, Sequence[Record]]]) -> Iterator[str]:
    ranks = mean_ranks(tasks)
    missing = {arm for arms in tasks.values() for arm in arms} - set(ranks)
    yield f"mean rank by the best value at 1/16 to all of the budget, over {len(tasks)} tables and numbers of slots"
    for arm, rank in sorted(ranks.items(), key=lambda item: item[1]):
        yield f"  {arm:<{WIDTH}}{rank:>6.2f}"
    if missing:
        yield f"  not in all of them, so not ranked: {', '.join(sorted(missing))}"
