"""The optimiser: its two groups of weights, its learning rate step by step, and its state by the weights' names."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from decouplenet.config import OptimConfig

# What an optimiser remembers of each weight, of the weight's own shape.
MOMENTS = {"sgd": ("momentum_buffer",), "adamw": ("exp_avg", "exp_avg_sq")}
# Of each weight by its name: the moments and, with adamw, the `step` so far.
OptimizerState = dict[str, dict[str, Tensor]]


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """SGD or AdamW over two groups, backbone and head, each with its `peak_lr`."""
    in_backbone = {id(p) for p in model.backbone.parameters()}  # type: ignore[union-attr]
    head = [p for p in model.parameters() if id(p) not in in_backbone]
    groups = [
        {"params": list(model.backbone.parameters()), "peak_lr": config.lr * config.backbone_lr_scale},  # type: ignore[union-attr]
        {"params": head, "peak_lr": config.lr},
    ]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate to a share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def lr_factor(schedule: str, step: int, steps: int) -> float:
    """The learning rate at a step as a share of its peak.

    Args:
        schedule: `constant`; `cosine` from 1 to 0; `onecycle`, up from 1/25 over the first 30 % of the steps and
            then down to 1/10,000 of the start, both along a cosine (Smith and Topin, 2018).
        step: from 0.
        steps: of the whole training.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return _cosine(1.0, 0.0, step / steps)
    start, end, top = 1 / 25, 1 / 25 / 1e4, 0.3 * steps
    return _cosine(start, 1.0, step / top) if step < top else _cosine(1.0, end, (step - top) / (steps - top))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def state_by_name(model: nn.Module, optimizer: torch.optim.Optimizer) -> OptimizerState:
    """The state of an optimiser of whole weights, on the CPU; empty before its first step."""
    state = ((name, optimizer.state.get(weight)) for name, weight in model.named_parameters())
    return {name: {key: value.cpu() for key, value in of.items() if torch.is_tensor(value)} for name, of in state if of}


def load_by_name(model: nn.Module, optimizer: torch.optim.Optimizer, state: OptimizerState) -> None:
    """Set what `state_by_name` gave; learning rates and the like stay this optimiser's own."""
    weights = dict(model.named_parameters())
    places = {id(weight): i for i, weight in enumerate(w for group in optimizer.param_groups for w in group["params"])}
    own = optimizer.state_dict()["param_groups"]
    by_place = {
        places[id(weights[name])]: {key: value.clone() for key, value in of.items()} for name, of in state.items()
    }
    optimizer.load_state_dict({"state": by_place, "param_groups": own})
