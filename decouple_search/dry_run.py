"""`tune --dry-run`: the whole plan of a search, and what the machines lack for it. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping

from decouple_search.machines.capacity import Capacity, largest_cluster, resolve_gpus, this_machine
from decouple_search.machines.cost import describe_cost
from decouple_search.machines.manifest import ClusterLimits
from decouple_search.options import SearchRequest
from decouple_search.plan import describe, disk_use, epochs_in_all
from decouplenet.command_line import print_line


def dry_run(request: SearchRequest, limits: ClusterLimits | None, prices: Mapping[str, float]) -> int:
    """Print the plan of a search.

    Args:
        request: the search.
        limits: the machines that the cluster file allows; None for this machine alone.
        prices: per hour, by type of machine.

    Returns:
        The command's exit code.
    """
    options = request.options
    machines = [this_machine()]
    config, machines = largest_cluster(request.config, limits) if limits else (request.config, machines)
    config = resolve_gpus(config, machines)
    fitting = Capacity(config.scaling).require(machines)
    slots = min(fitting, options.max_concurrent or request.trials, request.trials)
    print_line(describe(request, config, slots))
    cost = describe_cost(
        config,
        limits,
        epochs=epochs_in_all(config, request.scheduler, request.trials),
        epoch_seconds=options.epoch_seconds,
        time_budget=options.time_budget,
        running=slots,
        prices=prices,
    )
    print_line(cost)
    print_line(disk_use(request, config, slots))
    print_line(f"results    {request.folder.shown}")
    return 0
