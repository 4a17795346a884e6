"""What every format is read into: images with their labels, not decoded yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.places import Place

Fault = Callable[[str], None]


@dataclass(frozen=True)
class ImageSet:
    """N images with their labels, not decoded yet."""

    paths: tuple[Place, ...]
    """Their files or addresses, N."""
    targets: NDArray[np.uint8]
    """N×C, 1 where an image has the class."""
    class_names: tuple[str, ...]
    """C names."""
    ignored: NDArray[np.bool_] | None = None
    """N×C, what does not count for its class, in training and in measuring; None where all does."""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def counted(self) -> int:
        """Pairs of an image and a class that count."""
        return self.targets.size - (0 if self.ignored is None else int(self.ignored.sum()))

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> ImageSet:
        """The images at `indices`, in that order."""
        ignored = None if self.ignored is None else self.ignored[indices]
        return ImageSet(tuple(self.paths[i] for i in indices), self.targets[indices], self.class_names, ignored)
