"""ML-GCN (Chen et al., CVPR 2019, "Multi-label image recognition with graph convolutional networks").

Shapes: B images, D channels, C classes, h×w the size of the backbone's map, N training images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decouplenet.heads.settings import GcnSettings


class Gcn(nn.Module):
    """Two graph convolutions over the classes make the classifiers (Fig. 2). Features are max-pooled (Eq. 3).

    The classes' embeddings are learned; the paper takes word vectors, which fit no class names but English ones.

    Args:
        channels: D.
        num_classes: C.
        settings: the section `head.gcn`.
    """

    graph: Tensor
    """Normalised adjacency, C×C; the identity until `see_labels`."""

    def __init__(self, channels: int, num_classes: int, settings: GcnSettings) -> None:
        super().__init__()
        self._settings = settings
        self.register_buffer("graph", torch.eye(num_classes))
        self.embeddings = nn.Parameter(torch.randn(num_classes, settings.width))
        self.inner = nn.Linear(settings.width, settings.width, bias=False)
        self.outer = nn.Linear(settings.width, channels, bias=False)

    def see_labels(self, targets: Tensor) -> None:
        """Take the graph from the training labels, N×C of 0 and 1."""
        self.graph.copy_(label_graph(targets, self._settings.threshold, self._settings.neighbours))

    def forward(self, features: Tensor) -> Tensor:
        """B×D×h×w -> logits B×C."""
        return F.linear(features.amax((2, 3)), self._classifiers())  # Eq. 4

    def class_maps(self, features: Tensor) -> Tensor:
        """The classifiers at each pixel: B×D×h×w -> B×C×h×w."""
        return F.conv2d(features, self._classifiers()[:, :, None, None])

    def _classifiers(self) -> Tensor:
        """C×D, by Eq. 2 twice."""
        inner = F.leaky_relu(self.graph @ self.inner(self.embeddings), 0.2)
        classifiers: Tensor = self.graph @ self.outer(inner)
        return classifiers


def label_graph(targets: Tensor, threshold: float, neighbours: float) -> Tensor:
    """The normalised adjacency of classes that occur together (Eq. 7 and 8).

    Args:
        targets: N×C of 0 and 1.
        threshold: class i is joined to class j if at least this share of the images with i have j.
        neighbours: weight of all classes that a class is joined to, beside its own weight of 1 less that.

    Returns:
        C×C, with D^-1/2 A D^-1/2 over the sums D of the rows.
    """
    labels = targets.float()
    together = labels.T @ labels
    count = together.diagonal().clone()
    joined = (together / count.clamp(min=1)[:, None] >= threshold).float()
    joined.fill_diagonal_(0)
    adjacency = joined * (neighbours / joined.sum(1, keepdim=True).clamp(min=1))
    adjacency.fill_diagonal_(1 - neighbours)
    scale = adjacency.sum(1).rsqrt()
    return scale[:, None] * adjacency * scale
