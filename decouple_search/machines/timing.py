"""The seconds that screening takes: the steps of a worker timed on random images, and the arithmetic on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from decouplenet.allocator import allocator_environment
from decouplenet.config import Config

if TYPE_CHECKING:
    from decouplenet.step_time import ImageSeconds

ANSWER_SECONDS = 60.0
"""Seconds that a timing on a Ray may take, with the wait for a free worker."""


class DataSize(NamedTuple):
    """The size of a search's data."""

    train: int
    """The number of training images."""
    val: int
    """The number of validation images."""
    classes: int

    @property
    def images(self) -> int:
        """The number of all images."""
        return self.train + self.val


class StepTimes(NamedTuple):
    """Seconds per image on a worker."""

    full: ImageSeconds
    """Of the whole network."""
    heads: tuple[ImageSeconds, ...]
    """Of heads on feature maps."""


class ScreenSeconds(NamedTuple):
    """The seconds that the parts of a search with screening take."""

    maps: float
    """Of the feature maps, which the workers of a machine compute together."""
    heads: tuple[float, float]
    """Of a screened trial: the least and the most over the timed heads."""
    full: float
    """Of a full trial, with its head's training first."""


def screen_seconds(times: StepTimes, config: Config, epochs: int, size: DataSize, workers: int) -> ScreenSeconds:
    """The seconds that follow from those per image.

    Args:
        times: seconds per image.
        config: the configuration of a full trial, with its share of the images (`train.map_share`).
        epochs: the epochs of a screened trial.
        size: the data.
        workers: the workers on a machine.
    """
    train, world = config.train, config.scaling.workers_per_trial

    def trained(seconds: ImageSeconds, epochs: int, share: float = 1.0) -> float:
        return epochs * share * (size.train * seconds.train + size.val * seconds.evaluate) / world

    heads = [trained(seconds, epochs, train.map_share) for seconds in times.heads]
    first = sum(heads) / len(heads) * train.head_epochs / epochs
    maps = train.map_share * size.images * times.full.evaluate / max(1, workers)
    return ScreenSeconds(maps, (min(heads), max(heads)), trained(times.full, train.epochs) + first)


def time_steps(full: Config, heads: Sequence[Config], classes: int, extensions: bytes = b"") -> StepTimes:
    """Time a whole network and heads in this process.

    Args:
        full: the configuration of the whole network, with its GPUs resolved.
        heads: configurations of heads on feature maps.
        classes: C.
        extensions: the packed extensions of the driver.

    Raises:
        InputError: a network cannot be built.
        TrainingFailed: memory ran out.
    """
    import torch

    from decouple_search.gang.carried import unpack_extensions
    from decouplenet.step_time import seconds_per_image

    unpack_extensions(extensions)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, int(full.scaling.cpus_per_worker)))
    try:
        device = "cuda" if full.scaling.gpus_per_worker else "cpu"
        times = [seconds_per_image(config, classes, device) for config in (full, *heads)]
    finally:
        torch.set_num_threads(threads)
    return StepTimes(times[0], tuple(times[1:]))


def start_timing(full: Config, heads: Sequence[Config], classes: int) -> Any:
    """Start `time_steps` on a worker of the connected Ray; returns what `finished_timing` waits for."""
    import ray

    from decouple_search.gang.carried import pack_extensions

    # A CPU that is busy makes it slow, not impossible. A GPU cannot be had without asking for it.
    gpus = full.scaling.gpus_per_worker or 0
    as_trained = {"env_vars": allocator_environment()}
    task: Callable[..., Any] = ray.remote(num_cpus=0, num_gpus=gpus, max_retries=0, runtime_env=as_trained)(
        time_steps
    ).remote
    return task(full, heads, classes, pack_extensions())


def finished_timing(timing: Any) -> StepTimes | str:
    """The times of a started timing, or why there are none, as a clause. A search can do without them."""
    import ray

    from decouple_search.gang.errors import FAILURES, message_of

    try:
        times: StepTimes = ray.get(timing, timeout=ANSWER_SECONDS)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(timing, force=True)
        return f"no worker has timed them in {ANSWER_SECONDS:g} s"
    except (*FAILURES, ray.exceptions.RayError) as error:
        return f"their timing failed ({message_of(error)})"
    return times
