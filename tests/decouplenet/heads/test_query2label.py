"""Query2Label: its queries belong to classes, and its positions to pixels."""

import torch

from decouplenet.heads.query2label import Query2Label, positions
from decouplenet.heads.settings import Query2LabelSettings


def test_a_query_its_classifier_and_its_logit_belong_together():
    torch.manual_seed(0)
    head = Query2Label(6, 4, Query2LabelSettings(width=16)).eval()
    maps, order = torch.randn(2, 6, 3, 3), torch.tensor([2, 0, 3, 1])
    before = head(maps)
    with torch.no_grad():
        head.bias.copy_(torch.arange(4.0))
        for weights in (head.queries, head.weight, head.bias):
            weights.copy_(weights[order].clone())
    assert torch.allclose(head(maps), before[:, order] + order.float(), atol=1e-5)


def test_every_pixel_has_a_position_of_its_own():
    places = positions(3, 5, 16, torch.device("cpu"))
    assert places.shape == (15, 16)
    distances = torch.cdist(places, places) + torch.eye(15)
    assert distances.min() > 0.01


def test_where_a_pixel_is_counts():
    torch.manual_seed(0)
    head = Query2Label(6, 4, Query2LabelSettings(width=16)).eval()
    maps = torch.randn(1, 6, 3, 3)
    assert not torch.allclose(head(maps), head(maps.flip(3)), atol=1e-4)
