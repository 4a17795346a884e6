"""The cost of a search: hours on its machines, and money if prices are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from decouple_search.machines.capacity import Capacity
from decouple_search.machines.manifest import ClusterLimits
from decouplenet.config import Config
from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError
from decouplenet.wording import counted


def read_prices(text: str | None, cluster: ClusterLimits | None) -> dict[str, float]:
    """Prices per hour by type of machine, from `head=0.10,gpu_spot=0.35`.

    Raises:
        InputError: the text has another form, or the cluster has no such type.
    """
    if text is None:
        return {}
    if cluster is None:
        raise InputError("--prices: of which machines? Give --cluster too")
    names, prices = [cluster.head.name, *(machine_type.name for machine_type in cluster.machine_types)], {}
    for pair in text.split(","):
        name, _, price = (side.strip() for side in pair.partition("="))
        try:
            prices[name] = float(price)
        except ValueError:
            raise InputError(f"--prices: '{pair}' is not of the form {names[-1]}=0.35") from None
        if name not in names:
            raise InputError(f"--prices: the cluster has no type '{name}'; {nearest(name, names)}")
        if prices[name] < 0:
            raise InputError(f"--prices: {pair} is out of range; it must be at least 0")
    return prices


def describe_cost(
    config: Config,
    cluster: ClusterLimits | None,
    *,
    epochs: tuple[int, int],
    epoch_seconds: float | None,
    time_budget: float | None,
    running: int,
    prices: Mapping[str, float],
) -> str:
    """Machines, hours and money in words.

    Args:
        config: its scaling section has the needs of a trial.
        cluster: the machines; None for this machine alone.
        epochs: the minimum and the maximum over all trials.
        epoch_seconds: seconds per epoch of a trial; None where this is not known.
        time_budget: seconds after which the search ends; None for no limit.
        running: trials that run at the same time; 0 where none fits.
        prices: per hour, by type of machine.
    """
    lines = []
    if not running:
        lines += [f"machines   none, as no trial fits; {cluster.max_workers} workers at most"] if cluster else []
        return "\n".join([*lines, "hours      not known, as no trial fits"])
    used = _used(config, cluster, running) if cluster else []
    if cluster:
        kinds = ", ".join(f"{count} {name}" for name, count in Counter(used).items())
        lines.append(
            f"machines   {kinds} for {counted(running, 'trial')} at a time; {cluster.max_workers} workers at most"
        )
    if epoch_seconds is None:
        return "\n".join([*lines, "hours      not known without --epoch-seconds, the seconds per epoch of a trial"])
    hours = [count * epoch_seconds / 3600 for count in epochs]
    wall = [hour / running for hour in hours]
    if time_budget is not None:
        wall = [min(hour, time_budget / 3600) for hour in wall]
        hours = [hour * running for hour in wall]
    scaling = config.scaling
    gpus = (scaling.gpus_per_worker or 0) * scaling.workers_per_trial
    amount, unit = (gpus, "GPU") if gpus else (scaling.cpus_per_worker * scaling.workers_per_trial, "CPU")
    unit_hours = _range([hour * amount for hour in hours])
    lines.append(f"hours      {_range(wall)} if all slots train all the time, {unit_hours} {unit}-hours")
    if prices and cluster:
        missing = sorted({*used, cluster.head.name} - prices.keys())
        if missing:
            raise InputError(f"--prices: none is given for {', '.join(missing)}")
        hourly = prices[cluster.head.name] + sum(prices[name] for name in used)
        lines.append(f"money      {_range([hour * hourly for hour in wall])}, at {hourly:.4g} per hour")
    return "\n".join(lines)


def _used(config: Config, cluster: ClusterLimits, running: int) -> list[str]:
    """The types of the machines that trials run on: as few machines as are enough."""
    capacity = Capacity(config.scaling)
    machines = capacity.launched(cluster)
    resources = [cluster.head.resources, *(machine.resources for machine in machines)]
    for count in range(len(machines) + 1):
        if capacity.trials(resources[: count + 1]) >= running:
            return [machine.name for machine in machines[:count]]
    capacity.require(resources)  # raises if no trial fits
    return [machine.name for machine in machines]


def _range(ends: list[float]) -> str:
    low, high = (f"{end:.3g}" for end in ends)
    return low if low == high else f"{low} to {high}"
