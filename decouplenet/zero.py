"""Training with DeepSpeed: ZeRO splits optimiser state, gradients and weights over the workers.

DeepSpeed gets an fp32 model here. Mixed precision is this package's own autocast inside it, as with `ddp`: DeepSpeed's
own (`torch_autocast`) averages gradients in the lower precision and, under ZeRO with fp16, does not lower the loss
scale after an overflow. The saved state holds whole tensors by name, so a training can resume with any strategy, stage
and number of workers. This module imports DeepSpeed only when a `Zero` is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from decouplenet import compat
from decouplenet.config import Config
from decouplenet.deepspeed_config import deepspeed_config
from decouplenet.errors import InputError, one_line
from decouplenet.optim import MOMENTS, OptimizerState, load_by_name, set_lr, state_by_name
from decouplenet.precision import Autocast


class Zero:
    """A `Strategy` on DeepSpeed. It takes the arguments of `DataParallel`.

    Raises:
        InputError: DeepSpeed refuses the settings of `train.deepspeed_config`.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, config: Config, device: torch.device, world: int
    ) -> None:
        self._model, self._optimizer, self._config = model, optimizer, config
        self._stage = config.train.zero_stage
        self._names = dict(model.named_parameters())
        self._device = device
        settings = deepspeed_config(config, world)
        _ensure_process_group(device)
        compat.import_deepspeed(device.type)
        network = Autocast(model, config.train.precision, device.type)
        try:
            self._engine = compat.initialize_engine(network, optimizer, settings, device)
        except (ValueError, AssertionError, TypeError) as error:
            if config.train.deepspeed_config is None:
                raise
            reason = one_line(error)
            raise InputError(
                f"train.deepspeed_config: DeepSpeed refuses the settings ({reason}); correct them"
            ) from error
        self.network: nn.Module = self._engine
        if self._stage in (1, 2):
            compat.create_optimizer_state(self._optimizer)
        self._scale = LossScale() if config.train.precision == "fp16" else None

    @contextlib.contextmanager
    def micro_batch(self, *, last: bool) -> Iterator[None]:
        """As `Strategy.micro_batch`."""
        compat.set_last_micro_batch(self._engine, last)
        yield

    def backward(self, loss: Tensor) -> None:
        """As `Strategy.backward`."""
        if self._scale and self._stage:
            compat.set_loss_scale(self._engine, self._scale.value)
        elif self._scale:
            loss = loss * self._scale.value
        compat.backward(self._engine, loss)

    def step(self) -> None:
        """As `Strategy.step`."""
        finite = self._stage > 0 or not self._scale or self._unscale()
        if finite:
            self._engine.step()
        if self._scale:
            self._scale.update(finite=finite and compat.was_step_applied(self._engine))

    @contextlib.contextmanager
    def weights(self) -> Iterator[list[Tensor]]:
        """As `Strategy.weights`."""
        parameters = list(self._model.parameters())
        with self._gathered(parameters):
            yield [parameter.detach() for parameter in parameters]

    def state(self) -> dict[str, Any]:
        """As `Strategy.state`."""
        scaler = self._scale.state_dict() if self._scale else {}
        if self._stage == 0:
            return {"optimizer": state_by_name(self._model, self._optimizer), "scaler": scaler}
        from deepspeed.utils import safe_get_full_optimizer_state

        state: OptimizerState = {}
        if compat.has_optimizer_state(self._engine):
            for name, parameter in self._names.items():
                moments = {key: safe_get_full_optimizer_state(parameter, key).cpu() for key in self._moments()}
                state[name] = moments | {key: value.clone() for key, value in self._counters().items()}
        return {"optimizer": state, "scaler": scaler}

    def load_state(self, state: dict[str, Any]) -> None:
        """As `Strategy.load_state`. Call it before the first step."""
        if self._scale and state["scaler"]:
            self._scale.load_state_dict(state["scaler"])
        if self._stage == 0:
            load_by_name(self._model, self._optimizer, state["optimizer"])
        elif state["optimizer"]:
            self._take_empty_step()
            for name, values in state["optimizer"].items():
                for key in self._moments():
                    self._set_moment(self._names[name], values[key].to(self._device), key)
            for partition in self._optimizer.state.values():
                for key in self._counters():
                    partition[key].copy_(next(iter(state["optimizer"].values()))[key])

    def close(self) -> None:
        """As `Strategy.close`."""
        self._engine.destroy()
        if self._stage == 3:
            compat.free_stage_3(self._engine, self._model)

    def _moments(self) -> tuple[str, ...]:
        optim = self._config.optim
        return () if optim.name == "sgd" and not optim.momentum else MOMENTS[optim.name]

    def _counters(self) -> dict[str, Tensor]:
        """The optimiser's scalars, which are the same for all weights: Adam's number of steps."""
        first: dict[str, Any] = next(iter(self._optimizer.state.values()), {})
        return {key: value for key, value in first.items() if torch.is_tensor(value) and value.ndim == 0}

    def _set_moment(self, parameter: nn.Parameter, value: Tensor, key: str) -> None:
        """Set this worker's share of a moment, given as a whole tensor."""
        from deepspeed import utils

        if self._stage < 3:
            utils.safe_set_full_optimizer_state(parameter, value, key)
            return
        # In stage 3 that function fails where a weight does not divide evenly. The last worker's share is padded.
        size = utils.safe_get_local_optimizer_state(parameter, key).numel()
        padded = nn.functional.pad(value.flatten(), (0, size * dist.get_world_size() - value.numel()))
        utils.safe_set_local_optimizer_state(parameter, padded.split(size)[dist.get_rank()], key)

    def _gathered(self, parameters: list[nn.Parameter]) -> contextlib.AbstractContextManager[None]:
        if self._stage < 3:
            return contextlib.nullcontext()
        import deepspeed

        gathered: contextlib.AbstractContextManager[None] = deepspeed.zero.GatheredParameters(parameters)
        return gathered

    def _take_empty_step(self) -> None:
        """Take a step at learning rate 0. After it, ZeRO's optimiser state exists and can be set."""
        set_lr(self._optimizer, 0.0)
        size = self._config.data.image_size
        images = torch.zeros(2, 3, size, size, device=self._device)
        buffers = [buffer.clone() for buffer in self._model.buffers()]
        with self.micro_batch(last=True):
            self.backward(self.network(images).sum() * 0.0)
        self._engine.step()
        for buffer, before in zip(self._model.buffers(), buffers, strict=True):
            buffer.copy_(before)

    def _unscale(self) -> bool:
        """In stage 0: divide the gradients by the loss scale. Drop them and return False if any is not finite."""
        assert self._scale is not None  # noqa: S101 - for the type checker
        gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
        finite = all(bool(gradient.isfinite().all()) for gradient in gradients)
        for gradient in gradients:
            gradient /= self._scale.value
        if not finite:
            self._engine.zero_grad()
        return finite


class LossScale:
    """fp16's loss scale, with the rule, constants and state of `torch.amp.GradScaler`."""

    GROWTH, BACKOFF, INTERVAL = 2.0, 0.5, 2000

    def __init__(self) -> None:
        self.value = 65536.0
        """The factor on the loss."""
        self._finite_steps = 0

    def update(self, *, finite: bool) -> None:
        """Adapt the scale after a step, given whether its gradients were finite."""
        self._finite_steps = self._finite_steps + 1 if finite else 0
        if not finite:
            self.value *= self.BACKOFF
        elif self._finite_steps == self.INTERVAL:
            self.value, self._finite_steps = self.value * self.GROWTH, 0

    def state_dict(self) -> dict[str, Any]:
        """As `GradScaler.state_dict`."""
        constants = {
            "growth_factor": self.GROWTH,
            "backoff_factor": self.BACKOFF,
            "growth_interval": self.INTERVAL,
        }
        return {"scale": self.value, **constants, compat.GROWTH_TRACKER: self._finite_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As `GradScaler.load_state_dict`."""
        self.value, self._finite_steps = state["scale"], state[compat.GROWTH_TRACKER]


def _ensure_process_group(device: torch.device) -> None:
    """Make a process group of this process alone where there is none: DeepSpeed needs a group."""
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]
