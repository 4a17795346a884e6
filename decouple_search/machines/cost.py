"""What a search takes before it has begun: hours on its machines, and money where prices are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from decouple_search.machines.manifest import Cluster
from decouple_search.plan import fit, fitting, slots
from decouplenet.config import Config, nearest
from decouplenet.errors import InputError


def read_prices(text: str | None, cluster: Cluster | None) -> dict[str, float]:
    """Prices an hour by type of machine, from `head=0.10,gpu_spot=0.35`.

    Raises:
        InputError: it is not of that form, or a type is none of the cluster's.
    """
    if text is None:
        return {}
    if cluster is None:
        raise InputError("--prices: of which machines? Give --cluster too")
    known, prices = [cluster.head.name, *(kind.name for kind in cluster.kinds)], {}
    for part in text.split(","):
        name, _, price = (side.strip() for side in part.partition("="))
        try:
            prices[name] = float(price)
        except ValueError:
            raise InputError(f"--prices: '{part}' is not of the form {known[-1]}=0.35") from None
        if name not in known:
            raise InputError(f"--prices: the cluster has no type '{name}'; {nearest(name, known)}")
        if prices[name] < 0:
            raise InputError(f"--prices: {part} is out of range; it must be at least 0")
    return prices


def describe_cost(
    config: Config,
    cluster: Cluster | None,
    *,
    epochs: tuple[int, int],
    epoch_seconds: float | None,
    time_budget: float | None,
    running: int,
    prices: Mapping[str, float],
) -> str:
    """Machines, hours and money in words.

    Args:
        config: what a trial needs.
        cluster: the machines; None for this one alone.
        epochs: the least and the most over all trials.
        epoch_seconds: that an epoch of a trial takes; None where it is not known.
        time_budget: seconds after which the search ends; None for no limit.
        running: trials at a time.
        prices: an hour, by type of machine.
    """
    used = _used(config, cluster, running) if cluster else []
    lines = []
    if cluster:
        counted = ", ".join(f"{count} {name}" for name, count in Counter(used).items())
        lines.append(f"machines   {counted} for {running} trials at a time; {cluster.most} workers at most")
    if epoch_seconds is None:
        return "\n".join([*lines, "hours      not known without --epoch-seconds, what an epoch of a trial takes"])
    hours = [count * epoch_seconds / 3600 for count in epochs]
    wall = [hour / running for hour in hours]
    if time_budget is not None:
        wall = [min(hour, time_budget / 3600) for hour in wall]
        hours = [hour * running for hour in wall]
    gpus = (config.scaling.gpus_per_worker or 0) * config.scaling.workers_per_trial
    each, unit = (gpus, "GPU") if gpus else (config.scaling.cpus_per_worker * config.scaling.workers_per_trial, "CPU")
    lines.append(f"hours      {_range(wall)} if all slots train all the time, {_range([h * each for h in hours])} "
                 f"{unit}-hours")  # fmt: skip
    if prices and cluster:
        missing = sorted({*used, cluster.head.name} - prices.keys())
        if missing:
            raise InputError(f"--prices: none is given for {', '.join(missing)}")
        an_hour = prices[cluster.head.name] + sum(prices[name] for name in used)
        lines.append(f"money      {_range([hour * an_hour for hour in wall])}, at {an_hour:.4g} an hour")
    return "\n".join(lines)


def _used(config: Config, cluster: Cluster, running: int) -> list[str]:
    """The types of the machines that trials run on, as few as are enough."""
    machines = cluster.launched([fit(kind.resources, config) for kind in cluster.kinds])
    on_head = [cluster.head.resources]
    for count in range(len(machines) + 1):
        nodes = [*on_head, *(kind.resources for kind in machines[:count])]
        if fitting(config, nodes) >= running:
            return [kind.name for kind in machines[:count]]
    slots(config, [*on_head, *(kind.resources for kind in machines)])  # raises, with the arithmetic, if none fits
    return [kind.name for kind in machines]


def _range(ends: list[float]) -> str:
    low, high = (f"{end:.3g}" for end in ends)
    return low if low == high else f"{low} to {high}"
