"""Scores of a network for images, as an evaluation computes them, and its latency.

Works on one worker's share of the images. The caller merges the shares.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from decouplenet.config import Config
from decouplenet.data.batches import Batch
from decouplenet.data.transforms import flip_, normalise
from decouplenet.errors import TrainingFailed
from decouplenet.losses import bce_loss
from decouplenet.metrics import ScoreAccumulator
from decouplenet.precision import Autocast, on_device


class Inputs:
    """Turns batches into a network's inputs, on its device.

    Args:
        network: a network with its backbone as `backbone`.
        precision: fp32, bf16 or fp16.
        device: the network's device.
    """

    def __init__(self, network: nn.Module, precision: str, device: torch.device) -> None:
        self._channels_last = takes_channels_last(network.backbone, device, precision)  # type: ignore[arg-type]
        self._device = device

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Images B×3×S×S, targets B×C and the mask of ignored labels B×C.

        The images are copied as bytes and become floats on the device, which copies a quarter of the data. Feature maps
        of a frozen backbone, B×D×h×w, stand in place of images.
        """
        images = self.to_memory_format(batch.images.to(self._device, non_blocking=True))
        images = normalise(images) if images.dtype == torch.uint8 else images.float()
        if batch.flipped.any():
            images = flip_(images, batch.flipped)
        ignored = None if batch.ignored is None else batch.ignored.to(self._device)
        return images, batch.targets.to(self._device), ignored

    def to_memory_format(self, images: Tensor) -> Tensor:
        """Channels-last images B×3×S×S in the memory format that is fastest for the network."""
        return images if self._channels_last else images.contiguous()


def takes_channels_last(backbone: nn.Module, device: torch.device, precision: str) -> bool:
    """Whether channels last, in which the cache gives images, is the faster memory format for a backbone.

    It is, except for depthwise convolutions in fp32 on a CPU with AVX-512. With AVX2, they too are faster with it: a
    training step of MobileNetV2 at 224 px took 138 ms in place of 178 ms per image.
    """
    depthwise = any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in backbone.modules())
    slow = device.type == "cpu" and precision == "fp32" and torch.backends.cpu.get_cpu_capability() != "AVX2"
    return not (slow and depthwise)


def score(
    network: nn.Module,
    batches: Iterable[Batch],
    config: Config,
    device: torch.device,
    after_batch: Callable[[], None] = lambda: None,
) -> tuple[ScoreAccumulator, Tensor]:
    """Score images with a network in evaluation mode, in the config's precision.

    Args:
        network: images to logits.
        batches: the batches of one worker.
        config: the config of the network's training.
        device: the network's device.
        after_batch: called after each batch.

    Returns:
        The probabilities, and the summed binary cross-entropy (a scalar on the device).

    Raises:
        TrainingFailed: memory ran out.
    """
    config = on_device(config, device)
    inputs = Inputs(network, config.train.precision, device)
    cast = Autocast(network, config.train.precision, device.type).eval()
    scores, loss = ScoreAccumulator(), torch.zeros((), device=device)
    with torch.inference_mode(), memory_errors(config):
        for batch in batches:
            images, targets, ignored = inputs(batch)
            logits = cast(images)
            loss += bce_loss(logits, targets, ignored)
            scores.update(batch.indices, logits.sigmoid(), targets)
            after_batch()
    return scores, loss


def latency_ms(network: nn.Module, config: Config, device: torch.device, rounds: int = 20) -> float:
    """Median time in milliseconds from one image on the device to its logits.

    Args:
        network: images to logits; afterwards it is in the same mode (training or evaluation) as before.
        config: gives the image size and the precision.
        device: the network's device.
        rounds: number of measurements.

    Raises:
        TrainingFailed: memory ran out.
    """
    config = on_device(config, device)
    cast, training = Autocast(network, config.train.precision, device.type), network.training
    size, seconds = config.data.image_size, []
    image = Inputs(network, config.train.precision, device).to_memory_format(
        torch.zeros(1, 3, size, size, device=device).to(memory_format=torch.channels_last)
    )
    cast.eval()
    with torch.inference_mode(), memory_errors(config):
        for _ in range(rounds + 3):  # torch chooses kernels in the first rounds
            began = time.perf_counter()
            cast(image)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
    network.train(training)
    return 1000 * statistics.median(seconds[3:])


@contextlib.contextmanager
def memory_errors(config: Config) -> Iterator[None]:
    """Turn an out-of-memory error into `TrainingFailed`: the configuration is too large, the worker is sound."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
        raise TrainingFailed(
            f"out of GPU memory at train.batch_size {config.train.batch_size}, data.image_size "
            f"{config.data.image_size} ({reason}); lower one of them or add workers"
        ) from error
