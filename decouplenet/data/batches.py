"""Batches for one worker: the choice and order of the images, and loading ahead in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from decouplenet.data.augment import Augment
from decouplenet.data.cache import Pixels
from decouplenet.data.image_set import ImageSet


class Batch(NamedTuple):
    """B images of one worker, on the CPU."""

    indices: Tensor
    """Indices in the image set, B."""
    images: Tensor
    """B×3×S×S uint8, channels last in memory."""
    targets: Tensor
    """B×C float32."""
    flipped: Tensor
    """Which images to mirror, B booleans."""
    ignored: Tensor | None
    """Pairs of image and class that do not count, B×C booleans; None if all pairs count."""


class Batches:
    """One worker's share of the batches of an image set.

    The order of the images, their flips and their augmentation depend only on the seed and the epoch. A worker takes
    every `world`-th image of each global batch. The global batches are therefore the same for any number of workers.

    Args:
        images: the image set.
        pixels: its decoded images.
        batch_size: images per step over all workers.
        rank: this worker's rank.
        world: number of workers.
        threads: number of batches loaded at the same time.
    """

    def __init__(
        self,
        images: ImageSet,
        pixels: Pixels,
        batch_size: int,
        *,
        rank: int = 0,
        world: int = 1,
        threads: int = 2,
    ) -> None:
        self._pixels, self._threads = pixels, threads
        self._targets = torch.from_numpy(images.targets)
        self._ignored = None if images.ignored is None else torch.from_numpy(images.ignored)
        self._rank, self._world = rank, world
        self._n, self.batch_size = len(images), max(1, min(batch_size, len(images)))

    @property
    def steps(self) -> int:
        """Steps of a training epoch. An incomplete last batch is dropped."""
        return self._n // self.batch_size

    def training(
        self, seed: int, epoch: int, *, flip: bool, augment: Augment | None = None, first: int = 0
    ) -> Iterator[Batch]:
        """This worker's share of each global batch of an epoch, shuffled, starting with batch number `first`."""
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(self._n)
        flips = rng.random(self._n) < 0.5 if flip else np.zeros(self._n, bool)
        starts = range(first * self.batch_size, self.steps * self.batch_size, self.batch_size)
        slices = [slice(s + self._rank, s + self.batch_size, self._world) for s in starts]
        if augment is None:
            return self._load(slices, order, flips)
        return self._load(
            slices, order, flips, lambda image, i: augment(image, np.random.default_rng([seed, epoch, i]))
        )

    def evaluation(self) -> Iterator[Batch]:
        """This worker's share of all images, in order. Each image is in exactly one worker's share."""
        order = np.arange(self._rank, self._n, self._world)
        size = -(-self.batch_size // self._world)
        return self._load([slice(s, s + size) for s in range(0, len(order), size)], order, np.zeros(len(order), bool))

    def _load(
        self,
        slices: list[slice],
        order: NDArray[np.int64],
        flips: NDArray[np.bool_],
        change: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]] | None = None,
    ) -> Iterator[Batch]:
        """One batch per slice of `order`. `change` gets each image and its index in the image set."""

        def load(positions: slice) -> Batch:
            pixels = self._pixels[order[positions]]
            if change:
                pixels = np.stack([change(image, int(i)) for image, i in zip(pixels, order[positions], strict=True)])
            indices = torch.from_numpy(order[positions])
            ignored = None if self._ignored is None else self._ignored[indices]
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
            flipped = torch.from_numpy(flips[positions])
            return Batch(indices, images, self._targets[indices].float(), flipped, ignored)

        with ThreadPoolExecutor(self._threads) as pool:
            waiting: deque[Future[Batch]] = deque()
            for positions in slices:
                waiting.append(pool.submit(load, positions))
                if len(waiting) > self._threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
