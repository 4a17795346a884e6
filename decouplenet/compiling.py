"""torch.compile as `train.compile` asks for it: kept where it makes a training step faster, and left out where not."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from decouplenet.precision import Autocast

STEPS = 10
"""Steps that are timed with and without."""
GAIN = 0.95
"""The share of the time without that a compiled step may take at most; less is noise."""


class Trial(NamedTuple):
    """What compiling brings, the mean over all workers."""

    gains: bool
    """Whether compiled steps are faster."""
    note: str
    """That in a line, for the user."""


def try_compiled(network: nn.Module, images: Tensor, precision: str, world: int) -> Trial:
    """Compile a network in place, and time forward and backward with and without; it is unchanged otherwise.

    Args:
        network: images B×3×H×W to logits B×C, in training mode. Compiled is what `torch.compiler.set_stance` says.
        images: such as a step takes.
        precision: fp32, bf16 or fp16.
        world: number of workers, who all call this.

    Raises:
        torch.OutOfMemoryError: memory ran out.
    """
    step = _step(Autocast(network, precision, images.device.type), images)
    kept = [buffer.clone() for buffer in network.buffers()]  # BatchNorm's statistics follow what it sees
    torch.compiler.reset()  # or the networks of earlier trials use up the number of recompilations
    network.compile(dynamic=False)
    seconds: dict[str, list[float]] = {"force_eager": [], "default": []}
    reason, began = "", time.perf_counter()
    try:
        step()
        took = time.perf_counter() - began
        for stance in [*seconds] * (STEPS + 1):  # in turn, so that another load slows both
            with torch.compiler.set_stance(stance):  # type: ignore[arg-type]
                began = time.perf_counter()
                step()
                seconds[stance].append(time.perf_counter() - began)
        eager, compiled = (statistics.median(each[1:]) for each in seconds.values())
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler may run into; it is told, and the training does without
        eager, compiled, took = 0.0, math.inf, 0.0
        reason = " ".join(str(error).split())[:200]
    for buffer, before in zip(network.buffers(), kept, strict=True):
        buffer.copy_(before)
    times = torch.tensor([eager, compiled, took], dtype=torch.float64, device=images.device)
    if world > 1:
        dist.all_reduce(times)
    eager, compiled, took = (times / world).tolist()
    if math.isinf(compiled):
        return Trial(False, f"train.compile: left out, as it fails ({reason or 'on another worker'})")
    gains = compiled < GAIN * eager
    times_said = f"a step takes {1000 * compiled:.1f} ms compiled, {1000 * eager:.1f} ms without"
    return Trial(gains, f"train.compile: {'used' if gains else 'left out'}; {times_said} (compiling took {took:.0f} s)")


def _step(network: nn.Module, images: Tensor) -> Callable[[], None]:
    weights = [weight for weight in network.parameters() if weight.requires_grad]

    def step() -> None:
        # Not backward(), whose gradients would be the next step's, and which other workers would have to join.
        torch.autograd.grad(network(images).mean(), weights, allow_unused=True)
        if images.device.type == "cuda":
            torch.cuda.synchronize()

    return step
