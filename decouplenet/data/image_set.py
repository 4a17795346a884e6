"""The type that every label format is read into: images with their labels, not decoded yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.places import Place


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
    """N×C, pairs of image and class that count neither in training nor in an evaluation; None if all pairs count."""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def counted(self) -> int:
        """Number of pairs of image and class that count."""
        return self.targets.size - (0 if self.ignored is None else int(self.ignored.sum()))

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> ImageSet:
        """The images at `indices`, in that order."""
        ignored = None if self.ignored is None else self.ignored[indices]
        return ImageSet(tuple(self.paths[i] for i in indices), self.targets[indices], self.class_names, ignored)
