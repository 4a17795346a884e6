"""Beam search over label sequences, for the heads that name an image's labels one after another.

Shapes: B images, C classes, W the width of the beam. Token C ends a sequence, and token C + 1 begins it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

State = tuple[Tensor, ...]
"""What a head remembers of sequences: tensors whose first dimension is that of the sequences."""
Step = Callable[[State, Tensor], tuple[Tensor, Tensor, State]]
"""From the state and the last token of N sequences: logarithms of the next token's probability, N×(C+1), the
probabilities of the classes, N×C, and the next state."""


class Labels(NamedTuple):
    """What a search says of the labels of images."""

    highest: Tensor
    """B×C, the highest probability that a class had at any step of a sequence in the beam."""
    chosen: Tensor
    """B×C booleans: the labels of the most probable sequence."""


def beam_search(step: Step, state: State, images: int, classes: int, *, width: int, steps: int) -> Labels:
    """Search the most probable label sequences. No label comes twice in a sequence.

    Args:
        step: the head.
        state: its state at the start of each image; the first dimension of each tensor is B.
        images: B.
        classes: C.
        width: W.
        steps: the most labels of an image.
    """
    device = state[0].device
    state = tuple(each.repeat_interleave(width, 0) for each in state)
    token = torch.full((images * width,), classes + 1, device=device)
    log_p = torch.full((images, width), -torch.inf, device=device)
    log_p[:, 0] = 0.0  # all sequences of an image are the same at first
    used = torch.zeros(images, width, classes, dtype=torch.bool, device=device)
    ended = torch.zeros(images, width, dtype=torch.bool, device=device)
    highest = torch.zeros(images, classes, device=device)
    stay = torch.full((classes + 1,), -torch.inf, device=device)
    stay[classes] = 0.0
    for number in range(steps + 1):
        next_log_p, of_classes, state = step(state, token)
        open_ = (log_p > -torch.inf) & ~ended
        seen = of_classes.float().unflatten(0, (images, width)) * open_[:, :, None]
        highest = torch.maximum(highest, seen.masked_fill(used, 0.0).amax(1))
        next_log_p = next_log_p.float().unflatten(0, (images, width)).clone()
        next_log_p[:, :, :classes].masked_fill_(used | (number == steps), -torch.inf)  # the last step only ends
        next_log_p = torch.where(ended[:, :, None], stay, next_log_p)
        log_p, place = (log_p[:, :, None] + next_log_p).flatten(1).topk(width, dim=1)
        parent, label = place // (classes + 1), place % (classes + 1)
        rows = (torch.arange(images, device=device)[:, None] * width + parent).flatten()
        state, token = tuple(each[rows] for each in state), label.flatten()
        ended = ended.gather(1, parent) | (label == classes)
        used = used.flatten(0, 1)[rows].unflatten(0, (images, width))
        used |= F.one_hot(label, classes + 1)[:, :, :classes].bool()
        if bool(ended.all()):
            break
    best = log_p.argmax(1)
    return Labels(highest, used[torch.arange(images, device=device), best])
