"""The losses by the name that `train.loss` takes: of logits and targets, summed over images and classes.

Shapes: B images, C classes; logits and targets B×C, and `ignored` B×C booleans, or None, for what does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from decouplenet.config import TrainConfig

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def bce_loss(logits: Tensor, targets: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Binary cross-entropy (the paper's, section 2.2)."""
    return _counted(F.binary_cross_entropy_with_logits(logits, targets, reduction="none"), ignored)


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    ignored: Tensor | None = None,
    *,
    gamma_pos: float = 0.0,
    gamma_neg: float = 4.0,
    margin: float = 0.05,
) -> Tensor:
    """ASL (Ridnik et al., ICCV 2021, Eq. 5): easy negatives count less, and those below a margin not at all.

    Args:
        logits: B×C.
        targets: B×C.
        ignored: B×C, or None.
        gamma_pos: focusing of the positives; 0 is plain cross-entropy.
        gamma_neg: focusing of the negatives.
        margin: what the probability of a negative is lowered by.
    """
    lowered = (logits.sigmoid() - margin).clamp(min=1e-8)  # above 0, where a power has a slope
    log_negative = F.logsigmoid(-logits) if margin == 0 else torch.log1p(-lowered.clamp(max=1 - 1e-6))
    of_positives = (-logits).sigmoid().clamp(min=1e-8) ** gamma_pos * F.logsigmoid(logits)
    of_negatives = lowered**gamma_neg * log_negative
    return _counted(-(targets * of_positives + (1 - targets) * of_negatives), ignored)


def warp_loss(logits: Tensor, targets: Tensor, ignored: Tensor | None = None) -> Tensor:
    """WARP's ranking loss (Gong et al., 2013, Eq. 3), with the rank counted and not sampled.

    Each positive class pays for the negatives that are not at least 1 below it: the mean of what they lack, times
    the sum of 1/i up to their number, so that a positive far down the ranking weighs more, but less than in
    proportion.
    """
    counted = torch.ones_like(targets) if ignored is None else (~ignored).to(targets.dtype)
    positive, negative = targets * counted, (1 - targets) * counted
    lacking = (1 - logits[:, :, None] + logits[:, None, :]).relu() * negative[:, None, :]  # B×C×C
    rank = (lacking > 0).sum(2)
    places = torch.arange(1, logits.shape[1] + 1, device=logits.device, dtype=logits.dtype)
    harmonic = F.pad((1 / places).cumsum(0), (1, 0))
    return (positive * harmonic[rank] * lacking.sum(2) / rank.clamp(min=1)).sum()


def _counted(terms: Tensor, ignored: Tensor | None) -> Tensor:
    return terms.sum() if ignored is None else terms.masked_fill(ignored, 0.0).sum()


LOSSES: dict[str, Callable[[TrainConfig], Loss]] = {
    "bce": lambda config: bce_loss,
    "asl": lambda config: partial(
        asymmetric_loss, gamma_pos=config.asl_gamma_pos, gamma_neg=config.asl_gamma_neg, margin=config.asl_margin
    ),
    "warp": lambda config: warp_loss,
}
