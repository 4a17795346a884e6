"""Training with DeepSpeed: ZeRO splits optimiser state, gradients and weights over the workers.

DeepSpeed holds an fp32 model here; mixed precision is our own autocast inside it, as with `ddp`. (Its own,
`torch_autocast`, reduces gradients in the lower precision, and under ZeRO in fp16 leaves the loss scale as it is after
an overflow.) What is saved is gathered to whole tensors by name, so a training goes on under any strategy,
stage and number of workers.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from decouplenet.config import Config
from decouplenet.deepspeed_config import deepspeed_config
from decouplenet.errors import InputError
from decouplenet.optim import MOMENTS, OptimizerState, load_by_name, set_lr, state_by_name
from decouplenet.precision import Autocast


class Zero:
    """A `Strategy` on DeepSpeed; arguments as `DataParallel`."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, config: Config, device: torch.device, world: int
    ) -> None:
        self._model, self._optimizer, self._config = model, optimizer, config
        self._stage = config.train.zero_stage
        self._names = dict(model.named_parameters())
        self._device = device
        settings = deepspeed_config(config, world)
        _join_alone(device)
        deepspeed = _import_deepspeed(device)
        network = Autocast(model, config.train.precision, device.type)
        place = device.index or 0
        os.environ["LOCAL_RANK"] = str(place)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                self._engine, *_ = deepspeed.initialize(
                    args=SimpleNamespace(device_rank=place, local_rank=place),
                    model=network,
                    optimizer=optimizer,
                    config=settings,
                )
        except (ValueError, AssertionError, TypeError) as error:
            if config.train.deepspeed_config is None:
                raise
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"train.deepspeed_config: DeepSpeed refuses the settings ({reason})") from error
        self.network: nn.Module = self._engine
        if self._stage in (1, 2):
            self._fill_optimizer_state()
        self._scale = LossScale() if config.train.precision == "fp16" else None

    @contextlib.contextmanager
    def part(self, *, last: bool) -> Iterator[None]:
        """As `Strategy.part`."""
        self._engine.set_gradient_accumulation_boundary(last)
        yield

    def backward(self, loss: Tensor) -> None:
        """As `Strategy.backward`."""
        if self._scale and self._stage:
            self._engine.optimizer.override_loss_scale(self._scale.value)
        elif self._scale:
            loss = loss * self._scale.value
        self._engine.backward(loss, scale_wrt_gas=False)

    def step(self) -> None:
        """As `Strategy.step`."""
        finite = self._stage > 0 or not self._scale or self._unscale()
        if finite:
            self._engine.step()
        if self._scale:
            self._scale.update(finite=finite and self._engine.was_step_applied())

    @contextlib.contextmanager
    def weights(self) -> Iterator[list[Tensor]]:
        """As `Strategy.weights`."""
        parameters = list(self._model.parameters())
        with self._whole(parameters):
            yield [parameter.detach() for parameter in parameters]

    def state(self) -> dict[str, Any]:
        """As `Strategy.state`."""
        scaler = self._scale.state_dict() if self._scale else {}
        if self._stage == 0:
            return {"optimizer": state_by_name(self._model, self._optimizer), "scaler": scaler}
        from deepspeed.utils import safe_get_full_optimizer_state

        state: OptimizerState = {}
        if self._engine.global_steps > self._engine.skipped_steps:
            for name, parameter in self._names.items():
                of = {key: safe_get_full_optimizer_state(parameter, key).cpu() for key in self._moments()}
                state[name] = of | {key: value.clone() for key, value in self._counters().items()}
        return {"optimizer": state, "scaler": scaler}

    def load_state(self, state: dict[str, Any]) -> None:
        """As `Strategy.load_state`; to be called before the first step."""
        if self._scale and state["scaler"]:
            self._scale.load_state_dict(state["scaler"])
        if self._stage == 0:
            load_by_name(self._model, self._optimizer, state["optimizer"])
        elif state["optimizer"]:
            self._take_empty_step()
            for name, of in state["optimizer"].items():
                for key in self._moments():
                    self._set_moment(self._names[name], of[key].to(self._device), key)
            for split in self._optimizer.state.values():
                for key in self._counters():
                    split[key].copy_(next(iter(state["optimizer"].values()))[key])

    def close(self) -> None:
        """As `Strategy.close`."""
        engine = self._engine
        engine.destroy()
        if self._stage == 3:
            # Registries of DeepSpeed's own hold what it made for stage 3, for ever: empty it.
            for parameter in self._model.parameters():
                vars(parameter).clear()
            for held in (engine.optimizer.parameter_offload, engine.optimizer, engine):
                vars(held).clear()

    def _moments(self) -> tuple[str, ...]:
        optim = self._config.optim
        return () if optim.name == "sgd" and not optim.momentum else MOMENTS[optim.name]

    def _counters(self) -> dict[str, Tensor]:
        """What the optimiser keeps once for all weights of a group: Adam's number of steps."""
        first: dict[str, Any] = next(iter(self._optimizer.state.values()), {})
        return {key: value for key, value in first.items() if torch.is_tensor(value) and value.ndim == 0}

    def _set_moment(self, parameter: nn.Parameter, value: Tensor, key: str) -> None:
        """Set this worker's part of a moment."""
        from deepspeed import utils

        if self._stage < 3:
            utils.safe_set_full_optimizer_state(parameter, value, key)
            return
        # Its counterpart for stage 3 fails where the weights do not divide evenly: the last part is padded.
        size = utils.safe_get_local_optimizer_state(parameter, key).numel()
        padded = nn.functional.pad(value.flatten(), (0, size * dist.get_world_size() - value.numel()))
        utils.safe_set_local_optimizer_state(parameter, padded.split(size)[dist.get_rank()], key)

    def _whole(self, parameters: list[nn.Parameter]) -> contextlib.AbstractContextManager[None]:
        if self._stage < 3:
            return contextlib.nullcontext()
        import deepspeed

        gathered: contextlib.AbstractContextManager[None] = deepspeed.zero.GatheredParameters(parameters)
        return gathered

    def _fill_optimizer_state(self) -> None:
        """Give the optimiser the state that its first step would: zeros.

        DeepSpeed links weights to their state when the first group has taken its first step, and misses the others'.
        """
        set_lr(self._optimizer, 0.0)
        flat = [weights for group in self._optimizer.param_groups for weights in group["params"]]
        for weights in flat:
            weights.grad = torch.zeros_like(weights)
        self._optimizer.step()
        for weights in flat:
            weights.grad = None
            for value in self._optimizer.state[weights].values():
                if torch.is_tensor(value):
                    value.zero_()

    def _take_empty_step(self) -> None:
        """A step at learning rate 0, after which ZeRO's optimiser state can be set."""
        set_lr(self._optimizer, 0.0)
        size = self._config.data.image_size
        images = torch.zeros(2, 3, size, size, device=self._device)
        buffers = [buffer.clone() for buffer in self._model.buffers()]
        with self.part(last=True):
            self.backward(self.network(images).sum() * 0.0)
        self._engine.step()
        for buffer, before in zip(self._model.buffers(), buffers, strict=True):
            buffer.copy_(before)

    def _unscale(self) -> bool:
        """Stage 0, whose gradients are the weights' own: divide by the loss scale, or drop what is not finite."""
        assert self._scale is not None  # noqa: S101 - for the type checker
        gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
        finite = all(bool(gradient.isfinite().all()) for gradient in gradients)
        for gradient in gradients:
            gradient /= self._scale.value
        if not finite:
            self._engine.zero_grad()
        return finite


class LossScale:
    """fp16's loss scale, by the rule and the constants of `torch.amp.GradScaler`, whose state it takes and gives."""

    GROWTH, BACKOFF, INTERVAL = 2.0, 0.5, 2000

    def __init__(self) -> None:
        self.value = 65536.0
        """What the loss is multiplied with."""
        self._good = 0

    def update(self, *, finite: bool) -> None:
        """Tell it whether a step's gradients were finite."""
        self._good = self._good + 1 if finite else 0
        if not finite:
            self.value *= self.BACKOFF
        elif self._good == self.INTERVAL:
            self.value, self._good = self.value * self.GROWTH, 0

    def state_dict(self) -> dict[str, Any]:
        """As `GradScaler.state_dict`."""
        constants = {
            "growth_factor": self.GROWTH,
            "backoff_factor": self.BACKOFF,
            "growth_interval": self.INTERVAL,
        }
        return {"scale": self.value, **constants, "_growth_tracker": self._good}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As `GradScaler.load_state_dict`."""
        self.value, self._good = state["scale"], state["_growth_tracker"]


def _join_alone(device: torch.device) -> None:
    """DeepSpeed needs a process group; a single worker has one of its own."""
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)  # type: ignore[attr-defined]


def _import_deepspeed(device: torch.device) -> Any:
    os.environ.setdefault("DS_ACCELERATOR", device.type)
    with contextlib.redirect_stdout(sys.stderr):  # its log, too, goes where stdout was at its import
        import deepspeed
        import deepspeed.ops
        from deepspeed.utils import logger

    logger.setLevel("ERROR")  # it warns that it does not know torch's optimisers
    # On a CPU it would compile an all-reduce for inference (44 s), that no training calls.
    deepspeed.ops.__compatible_ops__ = {}
    return deepspeed
