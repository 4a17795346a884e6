"""Training strategies by the name that `train.strategy` takes: how the workers' gradients become one step of one model.

A strategy averages, unscales and clips the gradients, and steps. DeepSpeed is imported only for `deepspeed`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from decouplenet import compat
from decouplenet.config import Config
from decouplenet.errors import InputError
from decouplenet.optim import load_by_name, state_by_name
from decouplenet.precision import Autocast


class Strategy(Protocol):
    """Trains one model on all workers. All of them call the same methods in the same order."""

    network: nn.Module
    """The module to train with: images B×3×H×W to logits B×C, in the precision of the config. Given targets and ignored
    pairs, too, it gives the loss of a head that has its own."""

    def micro_batch(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Context for forward and backward of one micro-batch; `last` marks the last micro-batch of the step."""

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a micro-batch's loss. Gradients are averaged over the workers."""

    def step(self) -> None:
        """Step with the gradients of the batch. With fp16, skip the step if a gradient is not finite."""

    def weights(self) -> contextlib.AbstractContextManager[list[Tensor]]:
        """Context that gives the model's whole parameters, in the order of the model."""

    def state(self) -> dict[str, Any]:
        """`optimizer` and `scaler`: the same on every worker, and loadable with any strategy and number of workers."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Load `state` into a model that has its weights already. Learning rates and such stay the config's."""

    def close(self) -> None:
        """Release resources. The object must not be used afterwards."""


class DataParallel:
    """torch's DistributedDataParallel: each worker has the whole model and steps with the mean gradient.

    Args:
        model: the model to train; its weights are changed in place.
        optimizer: over its weights.
        config: gives precision and clipping.
        device: this worker's device.
        world: number of workers.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, config: Config, device: torch.device, world: int
    ) -> None:
        self._model, self._optimizer, self._clip_norm = model, optimizer, config.train.clip_norm
        self.network: nn.Module = Autocast(model, config.train.precision, device.type)
        self._without_averaging: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        if world > 1:
            ids = [device] if device.type == "cuda" else None
            wrapped = nn.parallel.DistributedDataParallel(self.network, device_ids=ids, broadcast_buffers=False)
            self.network, self._without_averaging = wrapped, wrapped.no_sync
        self._scaler = torch.amp.GradScaler(device.type, enabled=config.train.precision == "fp16")

    def micro_batch(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """As `Strategy.micro_batch`."""
        return contextlib.nullcontext() if last else self._without_averaging()

    def backward(self, loss: Tensor) -> None:
        """As `Strategy.backward`."""
        self._scaler.scale(loss).backward()

    def step(self) -> None:
        """As `Strategy.step`."""
        if self._clip_norm:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._model.parameters(), self._clip_norm)
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
    """The strategy that a config names. Arguments as for `DataParallel`.

    Raises:
        InputError: the strategy is unknown, or DeepSpeed refuses the settings of the config.
    """
    if config.train.strategy == "ddp":
        return DataParallel(model, optimizer, config, device, world)
    if config.train.strategy == "deepspeed":
        from decouplenet.zero import Zero

        return Zero(model, optimizer, config, device, world)
    raise InputError(f"train.strategy: unknown '{config.train.strategy}'; valid: ddp, deepspeed")


def leave_process_group() -> None:
    """Leave torch's process group, if this process is in one."""
    if not compat.leave_deepspeed_group() and dist.is_initialized():
        dist.destroy_process_group()
