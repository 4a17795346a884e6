"""Stratified parts of a set of images with several labels each: the hold-out, and the folds of a cross-validation.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data, ECML PKDD 2011,
Algorithm 1): the rarest label is dealt out first, each of its images to the part that lacks the label most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SEED = 0
"""The parts are the same for all trials of a search, whatever their seed."""


def stratified_parts(targets: NDArray[np.uint8], shares: Sequence[float]) -> NDArray[np.int64]:
    """Deal images out into parts so that each part has its share of the images of each label.

    Images without a label count as a label of their own.

    Args:
        targets: N×C, 1 where an image has a label.
        shares: K shares of the parts; their sum is 1.

    Returns:
        The part of each image, N numbers from 0 to K - 1.
    """
    count = len(targets)
    rng = np.random.default_rng(SEED)
    unlabelled = ~targets.any(1, keepdims=True)
    labels = np.concatenate([targets.astype(bool), unlabelled], axis=1)
    order = rng.permutation(count)
    labels_of = [np.flatnonzero(row) for row in labels]
    images_of = [order[labels[order, label]] for label in range(labels.shape[1])]
    wanted_of_label = np.outer(shares, labels.sum(0)).astype(float)  # K×(C+1), still to be dealt out
    wanted = np.array(shares, float) * count  # K, still to be dealt out
    left = labels.sum(0)
    parts = np.full(count, -1)
    while left.any():
        rarest = int(np.argmin(np.where(left > 0, left, count + 1)))
        for image in images_of[rarest]:
            if parts[image] >= 0:
                continue
            needs = wanted_of_label[:, rarest]
            candidates = np.flatnonzero(needs == needs.max())
            if len(candidates) > 1:
                candidates = candidates[wanted[candidates] == wanted[candidates].max()]
            part = candidates[0] if len(candidates) == 1 else rng.choice(candidates)
            parts[image] = part
            wanted[part] -= 1
            wanted_of_label[part, labels_of[image]] -= 1
            left[labels_of[image]] -= 1
    return parts
