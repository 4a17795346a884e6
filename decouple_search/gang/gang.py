"""The warm gang: Ray actors in one torch process group that train one configuration after another.

A gang starts once (processes, imports, process group, opened data) and then serves every trial of its slot. An epoch
is one call on each worker. The gang lives in the placement group of the trial that made it, with one bundle per
worker. The death of a worker raises in the pending call at once; a hang raises after `hang_timeout`. A failed training
raises in the call too, and the gang stays usable.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.gang.errors import FAILURES, GangHungError, is_loss, message_of, root_cause
from decouple_search.gang.worker import Files, GangWorker, WorkerLocation, backend_for, shared_devices
from decouplenet.allocator import allocator_environment
from decouplenet.config import Config, ScalingConfig

POLL_SECONDS = 5.0
"""Seconds between two looks at the progress of the workers."""
MIN_START_SECONDS = 300.0
"""Workers have at least these seconds to import, to form a group, to open their data, or to write a checkpoint."""
STEPWISE = "train_epoch"
"""The call that makes progress batch by batch."""
GRACE_SECONDS = 30.0
"""Seconds that the other workers have to end their call once a worker has failed."""


class Gang:
    """The workers of one slot, as one object.

    Args:
        scaling: the number of workers, what each needs, and for how long a call may make no progress.
        placement_group: where the workers run, one bundle each, in order; None for anywhere.
        extensions: the packed extensions of the driver.

    Raises:
        ray.exceptions.RayError: in any call, a worker died. The gang must not be used any more.
        GangHungError: in any call, the workers hang. The gang must not be used any more.
        ray.exceptions.RayTaskError: an error in a worker; it is an instance of that error's class too. The gang can
            start another configuration unless it is `broken`. (`is_loss` tells it from other RayErrors.)
    """

    def __init__(
        self, scaling: ScalingConfig, placement_group: PlacementGroup | None = None, extensions: bytes = b""
    ) -> None:
        self.broken = False
        """Whether some workers do not answer after another worker failed."""
        self._hang_timeout = scaling.hang_timeout
        cpus, gpus, world = scaling.cpus_per_worker, scaling.gpus_per_worker or 0, scaling.workers_per_trial
        remote = cast(Any, ray.remote)(concurrency_groups={"watch": 1})(GangWorker)
        self._workers: list[Any] = []  # actor handles, whose methods Ray makes at run time
        for rank in range(world):
            where = placement_group and PlacementGroupSchedulingStrategy(
                placement_group, placement_group_bundle_index=rank
            )
            options: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "scheduling_strategy": where or "DEFAULT"}
            options["runtime_env"] = {"env_vars": allocator_environment()}
            self._workers.append(remote.options(**options).remote(rank, world, cpus, gpus, extensions))
        self.locations: list[WorkerLocation] = []
        """Where the workers run, by rank."""
        try:
            self.locations = self._slow_answers([worker.location.remote() for worker in self._workers])
            if gpus:
                shared = zip(self._workers, shared_devices(self.locations), strict=True)
                self._slow_answers([worker.use_device.remote(*devices) for worker, devices in shared])
            self._backend = backend_for(self.locations)
            self._join()
        except BaseException:
            self.stop()  # or the workers that did start would keep resources that the next gang needs
            raise

    def start(self, config: Config) -> None:
        """Start a configuration on all workers."""
        self._all("start", config)

    def train_epoch(self) -> EpochResult:
        """Train and evaluate an epoch. The result is the same on every worker."""
        result: EpochResult = self._all("train_epoch")[0]
        return result

    def latency(self) -> float:
        """Milliseconds that the network takes for one image, on rank 0."""
        milliseconds: float = self._all("latency")[0]
        return milliseconds

    def checkpoint(self, notes: dict[str, Any]) -> Files:
        """The files of a checkpoint folder with its training state, and with `notes` in its metrics.json."""
        files: Files = self._all("checkpoint", notes)[0]
        return files

    def restore(self, files: Files) -> None:
        """Resume from a checkpoint's files."""
        self._all("restore", ray.put(files))

    def stop(self) -> None:
        """End the workers."""
        for worker in self._workers:
            ray.kill(worker)

    def _join(self) -> None:
        """Make the process group; an earlier one is left first."""
        if len(self._workers) > 1:
            [(host, port)] = self._slow_answers([self._workers[0].host.remote()])
            self._slow_answers([worker.join.remote(host, port, self._backend) for worker in self._workers])

    def _slow_answers(self, calls: Sequence[Any]) -> list[Any]:
        """The answers of calls that import, read or write for long without visible progress."""
        self._wait(calls, max(MIN_START_SECONDS, self._hang_timeout))
        answers: list[Any] = ray.get(list(calls))
        return answers

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        """Call all workers. Raises the error that caused the others, not the error of a worker that waited."""
        calls = [getattr(worker, method).remote(*arguments) for worker in self._workers]
        try:
            self._wait(calls, self._hang_timeout if method == STEPWISE else max(MIN_START_SECONDS, self._hang_timeout))
        except ray.exceptions.RayTaskError as error:
            raise self._recover(calls, error) from None
        answers: list[Any] = ray.get(calls)
        return answers

    def _wait(self, calls: Sequence[Any], hang_timeout: float) -> None:
        """Wait for all calls. Raises at the first error, and after `hang_timeout` seconds without progress."""
        pending, progress, since = list(calls), [-1] * len(self._workers), time.monotonic()
        poll = min(POLL_SECONDS, hang_timeout / 2)
        while pending:
            done, pending = ray.wait(pending, timeout=poll)
            ray.get(done)
            if done:
                continue
            latest = self.progress(poll)
            if any(new > old for new, old in zip(latest, progress, strict=True)):
                progress, since = latest, time.monotonic()
            elif time.monotonic() - since > hang_timeout:
                where = self._describe(latest)
                raise GangHungError(f"no worker made progress for {hang_timeout:g} s (scaling.hang_timeout): {where}")

    def progress(self, timeout: float) -> list[int]:
        """The progress of each worker, by rank, as a growing number; -1 if the worker does not answer in time."""
        questions = [worker.progress.remote() for worker in self._workers]
        answered = set(ray.wait(questions, num_returns=len(questions), timeout=timeout)[0])
        return [ray.get(question) if question in answered else -1 for question in questions]

    def _describe(self, progress: Sequence[int]) -> str:
        states = (f"progress {count}" if count >= 0 else "no answer" for count in progress)
        places = [f" (pid {place.pid} on {place.node})" for place in self.locations] or [""] * len(progress)
        return ", ".join(
            f"rank {rank}{place} {state}" for rank, (place, state) in enumerate(zip(places, states, strict=True))
        )

    def _recover(self, calls: Sequence[Any], error: Exception) -> Exception:
        """Bring all workers out of a failed call, and into a new process group. Returns the error that caused it."""
        if len(calls) == 1:
            return error
        for worker in self._workers:
            worker.abort.remote()
        done, late = ray.wait(list(calls), num_returns=len(calls), timeout=GRACE_SECONDS)
        errors = [error, *filter(None, map(_error_of, done))]
        try:
            if not late:
                self._join()
        except (ray.exceptions.RayError, GangHungError):
            late = list(calls)
        self.broken = bool(late)
        cause = root_cause(errors)
        if self.broken and not isinstance(cause, FAILURES) and not is_loss(cause):
            return GangHungError(f"a worker does not answer, and another worker failed: {message_of(cause)}")
        return cause


def _error_of(call: Any) -> Exception | None:
    try:
        ray.get(call)
    except ray.exceptions.RayError as error:
        return error
    return None
