"""How the workers' gradients become one step of one model, by the name that `train.strategy` takes.

A strategy takes gradients of the workers' shares of a batch and does what follows: average, unscale, clip, step.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from decouplenet.config import Config
from decouplenet.errors import InputError
from decouplenet.optim import load_by_name, state_by_name
from decouplenet.precision import Autocast


class Strategy(Protocol):
    """Trains one model on all workers; all of them call the same methods in the same order."""

    network: nn.Module
    """What to train with: images B×3×H×W to logits B×C, in the precision of the config."""

    def part(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Around forward and backward of a part of this worker's share of a batch; `last` says that none follows."""

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a part's loss, which is this worker's part of the mean over workers."""

    def step(self) -> None:
        """Take the step of the batch; with fp16 none, where a gradient is not finite."""

    def weights(self) -> contextlib.AbstractContextManager[list[Tensor]]:
        """The model's whole parameters, in its own order, for as long as the context lasts."""

    def state(self) -> dict[str, Any]:
        """`optimizer` and `scaler`, the same on every worker, for any strategy and number of workers."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`; the model has its weights already. Learning rates and the like stay the config's."""

    def close(self) -> None:
        """Let go of what outlives the object."""


class DataParallel:
    """torch's DistributedDataParallel: each worker has the whole model and steps with the mean gradient.

    Args:
        model: what to train; its weights are changed in place.
        optimizer: over its weights.
        config: precision and clipping.
        device: this worker's.
        world: number of workers.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, config: Config, device: torch.device, world: int
    ) -> None:
        self._model, self._optimizer, self._clip = model, optimizer, config.train.clip_norm
        self.network: nn.Module = Autocast(model, config.train.precision, device.type)
        self._hold: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        if world > 1:
            ids = [device] if device.type == "cuda" else None
            wrapped = nn.parallel.DistributedDataParallel(self.network, device_ids=ids, broadcast_buffers=False)
            self.network, self._hold = wrapped, wrapped.no_sync
        self._scaler = torch.amp.GradScaler(device.type, enabled=config.train.precision == "fp16")

    def part(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """As `Strategy.part`."""
        return contextlib.nullcontext() if last else self._hold()

    def backward(self, loss: Tensor) -> None:
        """As `Strategy.backward`."""
        self._scaler.scale(loss).backward()

    def step(self) -> None:
        """As `Strategy.step`."""
        if self._clip:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._model.parameters(), self._clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)

    @contextlib.contextmanager
    def weights(self) -> Iterator[list[Tensor]]:
        """As `Strategy.weights`."""
        yield [weight.detach() for weight in self._model.parameters()]

    def state(self) -> dict[str, Any]:
        """As `Strategy.state`."""
        return {"optimizer": state_by_name(self._model, self._optimizer), "scaler": self._scaler.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """As `Strategy.load_state`."""
        load_by_name(self._model, self._optimizer, state["optimizer"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])

    def close(self) -> None:
        """As `Strategy.close`."""


def make_strategy(
    model: nn.Module, optimizer: torch.optim.Optimizer, config: Config, device: torch.device, world: int
) -> Strategy:
    """The strategy that a config names; DeepSpeed is imported only for itself.

    Raises:
        InputError: the DeepSpeed settings of the config cannot be used.
    """
    if config.train.strategy == "ddp":
        return DataParallel(model, optimizer, config, device, world)
    if config.train.strategy == "deepspeed":
        from decouplenet.zero import Zero

        return Zero(model, optimizer, config, device, world)
    raise InputError(f"train.strategy: unknown '{config.train.strategy}'; valid: ddp, deepspeed")


def leave_process_group() -> None:
    """Leave torch's process group, and let DeepSpeed forget the groups that it made in it."""
    comm = sys.modules.get("deepspeed.comm")
    if comm is not None and comm.is_initialized():
        comm.destroy_process_group()
    elif dist.is_initialized():
        dist.destroy_process_group()
