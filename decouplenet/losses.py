"""The losses by the name that `train.loss` takes. Each is a sum over images and classes.

Shapes: B images, C classes; logits and targets B×C. `ignored` is B×C booleans that mark pairs of image and class that
do not count, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from decouplenet.config import TrainConfig
from decouplenet.extensions import LOSSES
from decouplenet.registration import LossFunction


def bce_loss(logits: Tensor, targets: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, the paper's loss (section 2.2)."""
    return _sum_counted(F.binary_cross_entropy_with_logits(logits, targets, reduction="none"), ignored)


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    ignored: Tensor | None = None,
    *,
    gamma_pos: float = 0.0,
    gamma_neg: float = 4.0,
    margin: float = 0.05,
) -> Tensor:
    """ASL (Ridnik et al., ICCV 2021, Eq. 5): easy negatives count less, and negatives below a margin not at all.

    Args:
        logits: B×C.
        targets: B×C.
        ignored: B×C, or None.
        gamma_pos: focusing exponent of the positives; 0 is plain cross-entropy.
        gamma_neg: focusing exponent of the negatives.
        margin: subtracted from the probability of each negative.
    """
    lowered = (logits.sigmoid() - margin).clamp(min=1e-8)  # above 0, so that its power has a finite gradient
    log_negative = F.logsigmoid(-logits) if margin == 0 else torch.log1p(-lowered.clamp(max=1 - 1e-6))
    positive_terms = (-logits).sigmoid().clamp(min=1e-8) ** gamma_pos * F.logsigmoid(logits)
    negative_terms = lowered**gamma_neg * log_negative
    return _sum_counted(-(targets * positive_terms + (1 - targets) * negative_terms), ignored)


def warp_loss(logits: Tensor, targets: Tensor, ignored: Tensor | None = None) -> Tensor:
    """WARP's ranking loss (Gong et al., 2013, Eq. 3), with the rank counted instead of sampled.

    A negative violates the margin of a positive class if its logit is not at least 1 below. Each positive costs the
    mean violation over its r violating negatives, times 1 + 1/2 + ... + 1/r. A positive far down the ranking thus
    weighs more, but less than in proportion.
    """
    counted = torch.ones_like(targets) if ignored is None else (~ignored).to(targets.dtype)
    positive, negative = targets * counted, (1 - targets) * counted
    violations = (1 - logits[:, :, None] + logits[:, None, :]).relu() * negative[:, None, :]  # B×C×C
    rank = (violations > 0).sum(2)
    numbers = torch.arange(1, logits.shape[1] + 1, device=logits.device, dtype=logits.dtype)
    harmonic = F.pad((1 / numbers).cumsum(0), (1, 0))
    return (positive * harmonic[rank] * violations.sum(2) / rank.clamp(min=1)).sum()


def lsep_loss(logits: Tensor, targets: Tensor, ignored: Tensor | None = None) -> Tensor:
    """LSEP (Li et al., CVPR 2017, "Improving pairwise ranking for multi-label image classification").

    log(1 + Σ exp(f_v - f_u)) over all pairs of an absent class v and a present class u of an image, times C. It is a
    smooth upper bound of the hinges of pairwise ranking. The sum over pairs is the product of two sums.
    """
    counted = torch.ones_like(targets, dtype=torch.bool) if ignored is None else ~ignored
    lowest = torch.finfo(logits.dtype).min / 4  # a sum over no class is 0, and its gradient too
    absent = logits.masked_fill(~counted | (targets > 0), lowest).logsumexp(1)
    present = (-logits).masked_fill(~counted | (targets <= 0), lowest).logsumexp(1)
    return F.softplus(absent + present).sum() * logits.shape[1]


def _sum_counted(terms: Tensor, ignored: Tensor | None) -> Tensor:
    return terms.sum() if ignored is None else terms.masked_fill(ignored, 0.0).sum()


BUILT_IN: dict[str, Callable[[TrainConfig], LossFunction]] = {
    "bce": lambda config: bce_loss,
    "asl": lambda config: partial(
        asymmetric_loss, gamma_pos=config.asl_gamma_pos, gamma_neg=config.asl_gamma_neg, margin=config.asl_margin
    ),
    "warp": lambda config: warp_loss,
    "lsep": lambda config: lsep_loss,
}


def make_loss(config: TrainConfig) -> LossFunction:
    """The loss of a config: built in, or an extension's.

    Raises:
        InputError: the loss is unknown.
    """
    return BUILT_IN[config.loss](config) if config.loss in BUILT_IN else LOSSES.get(config.loss)
