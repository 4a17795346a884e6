"""ML-Decoder: groups of classes, and no attention among queries."""

import pytest
import torch

from decouplenet.heads.ml_decoder import MlDecoder
from decouplenet.heads.settings import MlDecoderSettings


def decoder(classes, groups):
    torch.manual_seed(0)
    return MlDecoder(6, classes, MlDecoderSettings(groups=groups, width=16, attention_heads=2)).eval()


@pytest.mark.parametrize(("classes", "groups", "expected"), [(7, 3, (3, 3)), (7, 100, (7, 1)), (80, 100, (80, 1))])
def test_a_group_has_the_next_classes_in_their_order(classes, groups, expected):
    head = decoder(classes, groups)
    assert (head.weight.shape[0], head.weight.shape[2]) == expected
    maps = torch.randn(2, 6, 3, 3)
    before = head(maps)
    assert before.shape == (2, classes)
    with torch.no_grad():
        head.weight[1] += 1.0
    changed = ~torch.isclose(head(maps), before).all(0)
    of_group = expected[1]
    assert set(torch.nonzero(changed).flatten().tolist()) <= set(range(of_group, 2 * of_group))


def test_queries_are_fixed_and_do_not_see_one_another():
    head, maps = decoder(6, 6), torch.randn(2, 6, 3, 3)
    assert "queries" not in dict(head.named_parameters())
    before = head(maps)
    head.queries[3] = torch.randn(16)
    changed = ~torch.isclose(head(maps), before).all(0)
    assert torch.nonzero(changed).flatten().tolist() == [3]


def test_the_order_of_pixels_does_not_count():
    head, maps = decoder(6, 3), torch.randn(2, 6, 3, 3)
    assert torch.allclose(head(maps), head(maps.flip(2)), atol=1e-5)
