"""The warm gang: Ray actors in one torch process group that train one configuration after another.

A gang starts once (processes, imports, process group, opened data) and then serves every trial of its slot; an
epoch is one call on each worker. It lives in the placement group of the trial that made it, one bundle a worker.
A worker that dies raises in the pending call at once, and one that stands still after `hang_timeout`; what fails in
a worker's training fails the call, and the gang lives on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from decouple_search.gang.worker import Files, GangWorker, Seat, backend_for, shared_devices
from decouplenet.config import ScalingConfig
from decouplenet.errors import InputError, TrainingFailed

POLL = 5.0
"""Seconds between two looks at whether the workers get on."""
START = 300.0
"""Seconds that workers have at least to import, find together, open what they need, or write a checkpoint."""
STEPWISE = ("train_epoch", "evaluate")
"""Calls that get on batch by batch."""
GRACE = 30.0
"""Seconds that the other workers have to end their call once one has failed."""


class GangHungError(RuntimeError):
    """No worker of a gang got anything done for `hang_timeout` seconds."""


FAILURES = (TrainingFailed, InputError)
"""What is wrong with a configuration, and not with the workers."""


def is_loss(error: BaseException) -> bool:
    """Whether an error means that a worker is lost: it died, was ended for want of memory, or stands still."""
    lost = isinstance(error, ray.exceptions.RayError) and not isinstance(error, ray.exceptions.RayTaskError)
    return lost or isinstance(error, GangHungError)


class Gang:
    """The workers of one slot, as one object.

    Args:
        scaling: how many workers, what each needs, and how long they may stand still.
        placement_group: where they run, a bundle each, in order; None for anywhere.

    Raises:
        ray.exceptions.RayError: a worker died, in any call; the gang is of no more use.
        GangHungError: the workers stand still, in any call; the gang is of no more use.
        ray.exceptions.RayTaskError: what failed in a worker, and an instance of that error too. The gang can begin
            another configuration unless `broken`. (It is a RayError as well: `is_loss` tells them apart.)
    """

    def __init__(self, scaling: ScalingConfig, placement_group: PlacementGroup | None = None) -> None:
        self.broken = False
        """Whether a failed worker left others behind that do not answer."""
        self._hang_timeout = scaling.hang_timeout
        cpus, gpus, world = scaling.cpus_per_worker, scaling.gpus_per_worker or 0, scaling.workers_per_trial
        remote = cast(Any, ray.remote)(concurrency_groups={"watch": 1})(GangWorker)
        self._workers: list[Any] = []  # actor handles, whose methods Ray makes at run time
        for rank in range(world):
            where = placement_group and PlacementGroupSchedulingStrategy(
                placement_group, placement_group_bundle_index=rank
            )
            options: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "scheduling_strategy": where or "DEFAULT"}
            self._workers.append(remote.options(**options).remote(rank, world, cpus, gpus))
        self.seats: list[Seat] = []
        """Where the workers are, by rank."""
        try:
            self.seats = self._patiently([worker.seat.remote() for worker in self._workers])
            if gpus:
                shared = zip(self._workers, shared_devices(self.seats), strict=True)
                self._patiently([worker.see.remote(*devices) for worker, devices in shared])
            self._backend = backend_for(self.seats)
            self._join()
        except BaseException:
            self.stop()  # or those that did start would keep the room that the next gang needs
            raise

    def start(self, config: dict[str, Any]) -> None:
        """Begin a configuration on all workers."""
        self._all("start", config)

    def train_epoch(self) -> dict[str, Any]:
        """Train and evaluate one epoch; the measures are the same on every worker."""
        measured: dict[str, Any] = self._all("train_epoch")[0]
        return measured

    def evaluate(self) -> dict[str, Any]:
        """Measure the validation images."""
        measured: dict[str, Any] = self._all("evaluate")[0]
        return measured

    def latency(self) -> float:
        """Milliseconds that the network takes for one image, on the first worker."""
        milliseconds: float = self._all("latency")[0]
        return milliseconds

    def checkpoint(self, notes: dict[str, Any]) -> Files:
        """The files of a checkpoint folder, with `state.pt`, and with `notes` in its metrics.json."""
        files: Files = self._all("checkpoint", notes)[0]
        return files

    def restore(self, files: Files) -> None:
        """Go on from a checkpoint's files."""
        self._all("restore", ray.put(files))

    def stop(self) -> None:
        """End the workers."""
        for worker in self._workers:
            ray.kill(worker)

    def _join(self) -> None:
        """Make the process group, anew where there was one."""
        if len(self._workers) > 1:
            [(host, port)] = self._patiently([self._workers[0].host.remote()])
            self._patiently([worker.join.remote(host, port, self._backend) for worker in self._workers])

    def _patiently(self, calls: Sequence[Any]) -> list[Any]:
        """The answers of calls in which a worker imports, reads or writes much without getting on visibly."""
        self._wait(calls, max(START, self._hang_timeout))
        answers: list[Any] = ray.get(list(calls))
        return answers

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        """Call all workers; raises the error of the worker that failed by itself, not of those that it left waiting."""
        calls = [getattr(worker, method).remote(*arguments) for worker in self._workers]
        try:
            self._wait(calls, self._hang_timeout if method in STEPWISE else max(START, self._hang_timeout))
        except ray.exceptions.RayTaskError as error:
            raise self._recover(calls, error) from None
        answers: list[Any] = ray.get(calls)
        return answers

    def _wait(self, calls: Sequence[Any], hang_timeout: float) -> None:
        """Wait for all calls; raises at the first error, and when no worker has got on for `hang_timeout` seconds."""
        pending, known, since = list(calls), [-1] * len(self._workers), time.monotonic()
        poll = min(POLL, hang_timeout / 2)
        while pending:
            done, pending = ray.wait(pending, timeout=poll)
            ray.get(done)
            if done:
                continue
            now = self._progress(poll)
            if any(new > old for new, old in zip(now, known, strict=True)):
                known, since = now, time.monotonic()
            elif time.monotonic() - since > hang_timeout:
                raise GangHungError(
                    f"no worker got on for {hang_timeout:g} s (scaling.hang_timeout): {self._whereabouts(now)}"
                )

    def _whereabouts(self, progress: Sequence[int]) -> str:
        stands = (f"progress {done}" if done >= 0 else "no answer" for done in progress)
        seats = [f" (pid {seat.pid} on {seat.node})" for seat in self.seats] or [""] * len(progress)
        return ", ".join(f"rank {i}{seat} {stand}" for i, (seat, stand) in enumerate(zip(seats, stands, strict=True)))

    def _progress(self, timeout: float) -> list[int]:
        """What each worker has got done; -1 for one that does not answer."""
        asked = [worker.progress.remote() for worker in self._workers]
        answered = set(ray.wait(asked, num_returns=len(asked), timeout=timeout)[0])
        return [ray.get(question) if question in answered else -1 for question in asked]

    def _recover(self, calls: Sequence[Any], error: Exception) -> Exception:
        """Bring all workers out of a call in which one failed, and together again; the error that caused it."""
        if len(calls) == 1:
            return error
        for worker in self._workers:
            worker.abort.remote()
        done, late = ray.wait(list(calls), num_returns=len(calls), timeout=GRACE)
        errors = [error, *filter(None, map(_error_of, done))]
        try:
            if not late:
                self._join()
        except (ray.exceptions.RayError, GangHungError):
            late = list(calls)
        self.broken = bool(late)
        cause = root_cause(errors)
        if self.broken and not isinstance(cause, FAILURES) and not is_loss(cause):
            return GangHungError(f"a worker does not answer, and another fails: {cause_of(cause)}")
        return cause


def root_cause(errors: Sequence[Exception]) -> Exception:
    """Of the errors of several workers in one call the one that made the others.

    Who waits for a worker that died or failed gets an error of the collective, often sooner than it is known that
    the other died.
    """
    lost = [error for error in errors if is_loss(error)]
    failed = [error for error in errors if isinstance(error, FAILURES)]
    return [*lost, *failed, *errors][0]


def _error_of(call: Any) -> Exception | None:
    try:
        ray.get(call)
    except ray.exceptions.RayError as error:
        return error
    return None


def cause_of(error: Exception) -> str:
    """The first line of what went wrong in a worker, without Ray's account of where it was raised."""
    cause = getattr(error, "cause", None) or error
    return str(cause).partition("\n")[0]
