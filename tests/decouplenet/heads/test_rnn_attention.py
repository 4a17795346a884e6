"""RNN-Attention: regions that are cut out, and what their places cost."""

import pytest
import torch

from decouplenet.heads.rnn_attention import RnnAttention, anchors, cut_out, region_cost
from decouplenet.heads.settings import RnnAttentionSettings


def test_the_whole_map_is_a_region():
    maps = torch.randn(2, 3, 4, 6)
    whole = torch.tensor([[1.0, 0.0, 1.0, 0.0]]).expand(2, -1)
    assert torch.allclose(cut_out(maps, whole), maps, atol=1e-5)


def test_a_quarter_of_the_map_is_where_its_shifts_say():
    """Half the scale across and down, to the right and up: the upper right quarter."""
    maps = torch.zeros(1, 1, 8, 8)
    maps[:, :, :4, 4:] = 1.0
    region = cut_out(maps, torch.tensor([[0.5, 0.5, 0.5, -0.5]]))
    assert region[:, :, 1:-1, 1:-1].min() == 1.0
    assert cut_out(maps, torch.tensor([[0.5, -0.5, 0.5, -0.5]])).max() < 1.0


def test_places_cost_by_scale_and_by_distance_from_their_anchors():
    at_anchors = torch.cat([torch.full((3, 1), 0.5), torch.zeros(3, 1), torch.full((3, 1), 0.5), torch.zeros(3, 1)], 1)
    at_anchors[:, 1::2] = anchors(3)
    assert region_cost(at_anchors[None]).item() == pytest.approx(0.0, abs=1e-9)
    large, small, off = at_anchors.clone(), at_anchors.clone(), at_anchors.clone()
    large[0, 0], small[1, 2], off[2, 1] = 0.9, -0.1, off[2, 1] + 0.6
    assert region_cost(large[None]).item() == pytest.approx(0.4**2 / 3)
    assert region_cost(small[None]).item() == pytest.approx(0.1 * 0.2 / 3)
    assert region_cost(off[None]).item() == pytest.approx(0.01 * 0.5 * 0.36 / 3)


def test_the_anchors_are_the_centre_and_points_of_a_square():
    assert anchors(5) == pytest.approx(
        torch.tensor([[0.0, 0], [0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]]), abs=1e-6
    )
    assert anchors(1).tolist() == [[0.0, 0.0]]


def test_a_class_has_its_highest_logit_of_all_regions():
    torch.manual_seed(0)
    head, maps = RnnAttention(6, 3, RnnAttentionSettings(regions=4, width=8)), torch.randn(2, 6, 4, 4)
    seen = []
    head.scores.register_forward_hook(lambda module, inputs, output: seen.append(output))
    logits = head(maps)
    assert len(seen) == 4
    assert torch.equal(logits, torch.stack(seen).amax(0))
