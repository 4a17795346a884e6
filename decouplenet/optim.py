"""The optimiser: its two parameter groups, the learning rate of each step, and its state by the weights' names."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from decouplenet.compat import without_compiler
from decouplenet.config import OptimConfig

MOMENTS = {"sgd": ("momentum_buffer",), "adamw": ("exp_avg", "exp_avg_sq")}
"""The tensors that each optimiser keeps per weight, in the weight's own shape."""
AdamW = without_compiler(torch.optim.AdamW)
SGD = without_compiler(torch.optim.SGD)
OptimizerState = dict[str, dict[str, Tensor]]
"""By the weight's name: its moments and, with adamw, the number of steps so far as `step`."""


def make_optimizer(model: nn.Module, config: OptimConfig, *, head_is_trained: bool = False) -> torch.optim.Optimizer:
    """SGD or AdamW with two parameter groups, backbone (unless it is frozen) and head, each with its `peak_lr`.

    Args:
        model: the network, with its backbone as `backbone`.
        config: the section of the config.
        head_is_trained: whether the head was trained alone before (`train.head_epochs`). It then learns at the
            backbone's rate: at its own, that of a new head, it would lose what it has learned.
    """
    in_backbone = {id(p) for p in model.backbone.parameters()}  # type: ignore[union-attr]
    head = [p for p in model.parameters() if id(p) not in in_backbone]
    of_backbone = config.lr * config.backbone_lr_scale
    groups: list[dict[str, Any]] = [
        {"params": list(model.backbone.parameters()), "peak_lr": of_backbone},  # type: ignore[union-attr]
        {"params": head, "peak_lr": of_backbone if head_is_trained else config.lr},
    ]
    groups = [group for group in groups if group["params"]]  # a frozen backbone has none
    if config.name == "adamw":
        return AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
    return SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the learning rate of each group to its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def lr_factor(schedule: str, step: int, steps: int) -> float:
    """The learning rate of a step as a share of its peak.

    Args:
        schedule: `constant`; `cosine`, from 1 to 0; or `onecycle`, which rises from 1/25 over the first 30 % of the
            steps and then falls to 1/10,000 of that start, both along a cosine (Smith and Topin, 2018).
        step: number of the step, from 0.
        steps: number of steps of the whole training.
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
    """The optimiser's state by the weights' names, on the CPU; empty before its first step.

    Args:
        model: the model, with all of its weights on this worker.
        optimizer: over its weights.
    """
    state: OptimizerState = {}
    for name, weight in model.named_parameters():
        if values := optimizer.state.get(weight):
            state[name] = {key: value.cpu() for key, value in values.items() if torch.is_tensor(value)}
    return state


def load_by_name(model: nn.Module, optimizer: torch.optim.Optimizer, state: OptimizerState) -> None:
    """Load a state from `state_by_name`. Settings such as the learning rate stay this optimiser's own."""
    weights = dict(model.named_parameters())
    grouped = (weight for group in optimizer.param_groups for weight in group["params"])
    positions = {id(weight): i for i, weight in enumerate(grouped)}
    by_position = {
        positions[id(weights[name])]: {key: value.clone() for key, value in values.items()}
        for name, values in state.items()
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": by_position, "param_groups": groups})
