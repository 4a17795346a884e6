"""The trial of torch.compile that `train.compile` asks for: keep it if it makes training steps faster, else drop it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from decouplenet.errors import one_line
from decouplenet.precision import Autocast

STEPS = 10
"""Steps timed with compilation, and as many without."""
GAIN = 0.95
"""A compiled step counts as faster if it takes less than this share of the uncompiled time. The rest is noise."""


class Trial(NamedTuple):
    """The outcome of trying torch.compile, the same on all workers."""

    is_faster: bool
    """Whether compiled steps are faster."""
    note: str
    """The outcome in one line, for the user."""


def try_compiled(network: nn.Module, images: Tensor, precision: str, world: int) -> Trial:
    """Compile a network in place, and time forward and backward with and without. Its weights and buffers stay.

    Afterwards `torch.compiler.set_stance` decides whether the network runs compiled.

    Args:
        network: images B×3×H×W to logits B×C, in training mode.
        images: a batch of the size that a training step takes.
        precision: fp32, bf16 or fp16.
        world: number of workers; all must call this.

    Raises:
        torch.OutOfMemoryError: memory ran out.
    """
    step = _step(Autocast(network, precision, images.device.type), images)
    buffers = [buffer.clone() for buffer in network.buffers()]  # the steps change BatchNorm's statistics
    torch.compiler.reset()  # else the networks of earlier trials count towards the limit of recompilations
    network.compile(dynamic=False)
    reason = ""
    try:
        eager, compiled, compilation = _times(step)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # any compiler error is reported, and the training continues without compilation
        eager, compiled, compilation = 0.0, math.inf, 0.0
        reason = one_line(error)
    for buffer, before in zip(network.buffers(), buffers, strict=True):
        buffer.copy_(before)
    times = torch.tensor([eager, compiled, compilation], dtype=torch.float64, device=images.device)
    if world > 1:
        dist.all_reduce(times)
    eager, compiled, compilation = (times / world).tolist()
    if math.isinf(compiled):
        return Trial(False, f"train.compile: not used, because it fails ({reason or 'on another worker'})")
    is_faster = compiled < GAIN * eager
    times_text = f"a step takes {1000 * compiled:.1f} ms compiled, {1000 * eager:.1f} ms without"
    verdict = "used" if is_faster else "not used"
    return Trial(is_faster, f"train.compile: {verdict}; {times_text} (compiling took {compilation:.0f} s)")


def _times(step: Callable[[], None]) -> tuple[float, float, float]:
    """Median seconds of a step uncompiled and compiled, and the seconds of the first step, which compiles."""
    began = time.perf_counter()
    step()
    compilation = time.perf_counter() - began
    seconds: dict[str, list[float]] = {"force_eager": [], "default": []}
    for stance in [*seconds] * (STEPS + 1):  # alternating, so that other load on the machine slows both
        with torch.compiler.set_stance(stance):  # type: ignore[arg-type]
            began = time.perf_counter()
            step()
            seconds[stance].append(time.perf_counter() - began)
    eager, compiled = (statistics.median(values[1:]) for values in seconds.values())
    return eager, compiled, compilation


def _step(network: nn.Module, images: Tensor) -> Callable[[], None]:
    weights = [weight for weight in network.parameters() if weight.requires_grad]

    def step() -> None:
        # Not backward(): it would leave gradients for the next step, and the other workers would have to join in.
        torch.autograd.grad(network(images).mean(), weights, allow_unused=True)
        if images.device.type == "cuda":
            torch.cuda.synchronize()

    return step
