"""The graph of labels, computed by hand."""

import pytest
import torch

from decouplenet.heads.gcn import Gcn, label_graph
from decouplenet.heads.settings import GcnSettings


def test_a_class_is_joined_to_those_that_most_of_its_images_have():
    """Of 4 images with class 0, 3 have class 1 and 1 has class 2; class 1 has 3 images, class 2 one."""
    targets = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 0, 0]])
    graph = label_graph(targets, threshold=0.5, neighbours=0.2)
    adjacency = torch.tensor([[0.8, 0.2, 0.0], [0.2, 0.8, 0.0], [0.1, 0.1, 0.8]])  # Eq. 8; all rows sum to 1
    assert graph == pytest.approx(adjacency)


def test_a_class_without_images_or_neighbours_keeps_its_own_weight():
    graph = label_graph(torch.tensor([[1, 0], [1, 0]]), threshold=0.4, neighbours=0.2)
    assert graph == pytest.approx(torch.eye(2))


def test_the_classifiers_follow_the_graph_and_meet_the_maximum_of_each_channel():
    torch.manual_seed(0)
    head, maps = Gcn(4, 3, GcnSettings(width=8)), torch.randn(2, 4, 3, 3)
    alone = head(maps)
    head.see_labels(torch.tensor([[1, 1, 0], [0, 0, 1]]))
    assert not torch.allclose(head(maps)[:, :2], alone[:, :2])
    inner = torch.nn.functional.leaky_relu(head.graph @ head.embeddings @ head.inner.weight.T, 0.2)
    classifiers = head.graph @ inner @ head.outer.weight.T
    assert torch.allclose(head(maps), maps.amax((2, 3)) @ classifiers.T, atol=1e-5)
