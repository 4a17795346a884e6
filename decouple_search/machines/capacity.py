"""How many workers and trials fit on machines. Pure arithmetic: nothing is asked or started."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from decouple_search.machines.manifest import ClusterLimits, MachineType
from decouplenet.config import Config, ScalingConfig
from decouplenet.errors import InputError
from decouplenet.wording import counted

Resources = Mapping[str, float]
"""`CPU` and `GPU` of a machine."""

PLACEMENT_WORDS = {"STRICT_PACK": " all on one machine", "STRICT_SPREAD": " each on another machine"}


@dataclass(frozen=True)
class Capacity:
    """Compares the needs of trials with the resources of machines. A trial may span several machines."""

    scaling: ScalingConfig
    """The workers of a trial, and the resources of each."""

    def workers_on(self, machine: Resources) -> int:
        """How many workers fit on a machine. A share of a GPU is a share of a single GPU."""
        cpus, gpus = self.scaling.cpus_per_worker, self.scaling.gpus_per_worker
        by_cpu = int(machine.get("CPU", 0) / cpus + 1e-6)
        return min(by_cpu, int(machine.get("GPU", 0)) * int(1 / gpus + 1e-6)) if gpus else by_cpu

    def trials(self, machines: Sequence[Resources]) -> int:
        """How many trials fit at the same time; 0 where none fits."""
        workers, needed = [self.workers_on(machine) for machine in machines], self.scaling.workers_per_trial
        if self.scaling.placement_strategy == "STRICT_PACK":
            return sum(count // needed for count in workers)
        if self.scaling.placement_strategy == "STRICT_SPREAD":
            return _spread_trials(workers, needed)
        return sum(workers) // needed

    def require(self, machines: Sequence[Resources]) -> int:
        """How many trials fit at the same time, at least 1.

        Raises:
            InputError: no trial fits; the message shows the arithmetic.
        """
        if trials := self.trials(machines):
            return trials
        raise InputError(
            f"{self.shortage(machines)}; "
            "lower scaling.workers_per_trial, scaling.cpus_per_worker or scaling.gpus_per_worker"
        )

    def shortage(self, machines: Sequence[Resources]) -> str:
        """Why no trial fits: what a trial needs, and what the machines have, in a line."""
        scaling = self.scaling
        gpus = f" and {scaling.gpus_per_worker:g} GPU" if scaling.gpus_per_worker else ""
        need = f"{counted(scaling.workers_per_trial, 'worker')} of {scaling.cpus_per_worker:g} CPU{gpus}"
        alike = Counter(
            (machine.get("CPU", 0), machine.get("GPU", 0), self.workers_on(machine)) for machine in machines
        )
        have = "; ".join(
            f"{f'{count} × ' if count > 1 else ''}{cpu:g} CPU, {gpu:g} GPU: {workers}"
            for (cpu, gpu, workers), count in alike.items()
        )
        fitting = sum(self.workers_on(machine) for machine in machines)
        return (
            f"scaling: a trial needs {need}{PLACEMENT_WORDS.get(scaling.placement_strategy, '')}, and room for "
            f"{fitting} is there ({have})"
        )

    def largest_fitting(self, machines: Sequence[Resources]) -> ScalingConfig | None:
        """The largest smaller need of a trial that fits on the machines; None where none does.

        GPUs are given up only if no machine has one. Workers keep their GPUs and get fewer CPUs, before there are fewer
        workers.
        """
        gpus = self.scaling.gpus_per_worker if any(machine.get("GPU") for machine in machines) else 0.0
        whole = range(int(self.scaling.cpus_per_worker), 0, -1)
        for workers in range(self.scaling.workers_per_trial, (self.scaling.min_workers_per_trial or 1) - 1, -1):
            for cpus in (self.scaling.cpus_per_worker, *whole):
                scaling = replace(self.scaling, workers_per_trial=workers, cpus_per_worker=cpus, gpus_per_worker=gpus)
                if Capacity(scaling).trials(machines):
                    return scaling
        return None

    def with_workers(self, workers: int) -> Capacity:
        """The same for trials of another number of workers."""
        return Capacity(replace(self.scaling, workers_per_trial=workers, min_workers_per_trial=None))

    def bundles(self) -> list[dict[str, float]]:
        """The resources of each worker of a trial, by rank."""
        worker = {"CPU": float(self.scaling.cpus_per_worker)}
        if self.scaling.gpus_per_worker:
            worker["GPU"] = self.scaling.gpus_per_worker
        return [dict(worker) for _ in range(self.scaling.workers_per_trial)]

    def launched(self, limits: ClusterLimits) -> list[MachineType]:
        """The worker machines of a cluster at its largest; machines that take the most workers come first."""
        return limits.launched([self.workers_on(each.resources) for each in limits.machine_types])

    def grown(self, alive: Sequence[Resources], limits: ClusterLimits, *, head: str) -> list[Resources]:
        """The machines of a cluster once its autoscaler has added those that take the most workers.

        Args:
            alive: the machines that are there.
            limits: the machines that the cluster file allows.
            head: the resource that marks the head's machine.
        """
        grown = [
            *(machine for machine in alive if head in machine),
            *(each.resources for each in self.launched(limits)),
        ]
        workers_now = sum(self.workers_on(machine) for machine in alive)
        return grown if sum(self.workers_on(machine) for machine in grown) > workers_now else list(alive)


def _spread_trials(workers: Sequence[int], needed: int) -> int:
    """The most trials whose workers are each on another machine.

    t trials fit if the machines can take all t·`needed` workers while no machine takes more than t.
    """
    trials = 0
    while sum(min(count, trials + 1) for count in workers) >= (trials + 1) * needed:
        trials += 1
    return trials


def resolve_gpus(config: Config, machines: Sequence[Resources]) -> Config:
    """The config with one GPU per worker if it leaves that open and there are GPUs; else 0."""
    if config.scaling.gpus_per_worker is not None:
        return config
    gpus = 1.0 if any(machine.get("GPU") for machine in machines) else 0.0
    return replace(config, scaling=replace(config.scaling, gpus_per_worker=gpus))


def largest_cluster(config: Config, limits: ClusterLimits) -> tuple[Config, list[Resources]]:
    """A config with its GPUs resolved, and all machines that a cluster may have.

    Args:
        config: its scaling section has the needs of a trial.
        limits: the machines that the cluster file allows.

    Raises:
        InputError: the file does not say what its machines have.
    """
    bare = next((each.name for each in limits.machine_types if not each.resources), None)
    if bare:
        place = "" if limits.autoscales else " under `metadata`"
        raise InputError(
            f"--cluster: the file does not say what a {bare} has; give its `resources` (CPU, GPU){place}, or plan on it"
        )
    config = resolve_gpus(config, [each.resources for each in limits.machine_types])
    workers = Capacity(config.scaling).launched(limits)
    return config, [limits.head.resources, *(each.resources for each in workers)]


def this_machine() -> Resources:
    """The resources of this machine."""
    import torch

    return {"CPU": float(len(os.sched_getaffinity(0))), "GPU": float(torch.cuda.device_count())}
