"""Uses of DeepSpeed and torch that rely on more than their documentation promises, as small named functions.

A new version of either library may break any of these. `tests/decouplenet/test_compat.py` tests each of them and names
the broken assumption. DeepSpeed takes seconds to import, so only `import_deepspeed` and `initialize_engine` import it.
This module imports nothing else of the project.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

_Optimizer = TypeVar("_Optimizer", bound=torch.optim.Optimizer)
GROWTH_TRACKER = "_growth_tracker"
"""Key in the state of `torch.amp.GradScaler`: steps in a row with finite gradients."""


def computes_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16, rather than emulates it.

    torch says it of a GPU publicly, and of a CPU only in private functions.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cpu" and bool(supported)


def without_compiler(optimizer: type[_Optimizer]) -> type[_Optimizer]:
    """A class of torch's optimisers that does not import torch's compiler, which takes 4 seconds of a core.

    torch imports it at the first use of any optimiser, so that a compiled optimiser breaks its graph in the right
    places. Ours is never compiled.
    """
    for method in vars(torch.optim.Optimizer).values():
        if getattr(method, "__globals__", {}).get("__name__") == "torch._compile":
            method.__wrapped__.__dynamo_disable = method.__wrapped__  # else it asks the compiler for this
    step: Callable[..., Any] = inspect.unwrap(optimizer.step)

    def step_without_gradients(self: torch.optim.Optimizer, closure: Callable[[], float] | None = None) -> Any:
        with torch.no_grad():
            return step(self, closure)

    return cast(type[_Optimizer], type(optimizer.__name__, (optimizer,), {"step": step_without_gradients}))


def import_deepspeed(device_type: str) -> Any:
    """Import DeepSpeed for a type of device. It prints nothing to stdout and compiles nothing."""
    os.environ.setdefault("DS_ACCELERATOR", device_type)
    with contextlib.redirect_stdout(sys.stderr):  # the import prints, and its logger keeps this stdout
        import deepspeed
        import deepspeed.ops
        from deepspeed.utils import logger

    logger.setLevel("ERROR")  # it warns that it does not know torch's optimisers
    # On a CPU, DeepSpeed would compile an all-reduce for inference (44 s). Training never calls it.
    deepspeed.ops.__compatible_ops__ = {}
    return deepspeed


def initialize_engine(
    network: nn.Module, optimizer: torch.optim.Optimizer, settings: dict[str, Any], device: torch.device
) -> Any:
    """A DeepSpeed engine on `device`; by itself, DeepSpeed would take the device from the environment."""
    import deepspeed

    index = device.index or 0
    os.environ["LOCAL_RANK"] = str(index)
    arguments = SimpleNamespace(device_rank=index, local_rank=index)
    with contextlib.redirect_stdout(sys.stderr):
        engine, *_ = deepspeed.initialize(args=arguments, model=network, optimizer=optimizer, config=settings)
    return engine


def set_last_micro_batch(engine: Any, last: bool) -> None:
    """Say whether the next backward pass is the last of its step. Gradients are averaged after the last micro-batch."""
    engine.set_gradient_accumulation_boundary(last)


def backward(engine: Any, loss: Tensor) -> None:
    """Add a loss's gradient as it is; by itself, DeepSpeed would divide it by the number of micro-batches."""
    engine.backward(loss, scale_wrt_gas=False)


def set_loss_scale(engine: Any, scale: float) -> None:
    """Set the loss scale of ZeRO's stages 1 to 3: `backward` multiplies by it, the engine's step divides by it."""
    engine.optimizer.override_loss_scale(scale)


def was_step_applied(engine: Any) -> bool:
    """Whether the engine's last step changed the weights; it does not if a gradient is not finite."""
    return bool(engine.was_step_applied())


def has_optimizer_state(engine: Any) -> bool:
    """Whether ZeRO's optimiser has state to read, which the first applied step creates."""
    return bool(engine.global_steps > engine.skipped_steps)


def create_optimizer_state(optimizer: torch.optim.Optimizer) -> None:
    """Give an optimiser of ZeRO's stage 1 or 2 the state that its first step would create, as zeros.

    DeepSpeed links weights to their state when the first parameter group takes its first step. It would miss the state
    of the other groups, which does not exist yet at that time.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for weight in weights:
        weight.grad = None
        for value in optimizer.state[weight].values():
            if torch.is_tensor(value):
                value.zero_()


def free_stage_3(engine: Any, model: nn.Module) -> None:
    """Free the memory of a destroyed engine of stage 3: DeepSpeed's global registries keep references."""
    for parameter in model.parameters():
        vars(parameter).clear()
    for owner in (engine.optimizer.parameter_offload, engine.optimizer, engine):
        vars(owner).clear()


def leave_deepspeed_group() -> bool:
    """Leave the process group through DeepSpeed, so that DeepSpeed also forgets its own groups.

    Returns:
        Whether DeepSpeed had joined the group. If not, nothing was done.
    """
    comm = sys.modules.get("deepspeed.comm")
    if comm is None or not comm.is_initialized():
        return False
    comm.destroy_process_group()
    return True
