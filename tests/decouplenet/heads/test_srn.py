"""SRN: its attention, and the shares of its two parts."""

import pytest
import torch

from decouplenet.heads.settings import SrnSettings
from decouplenet.heads.srn import Srn
from decouplenet.losses import bce_loss


def srn(**settings):
    torch.manual_seed(0)
    return Srn(6, 3, SrnSettings(width=8, **settings)).eval()


def test_the_attention_of_a_class_sums_to_one():
    attention, _ = srn()._attention(torch.randn(2, 6, 4, 5))
    assert attention.sum((2, 3)).detach().numpy() == pytest.approx(1.0)


def test_the_logits_are_shares_of_an_ordinary_classifier_and_of_the_regularisation():
    maps = torch.randn(2, 6, 4, 5)
    plain, related, both = (srn(share=share)(maps) for share in (1.0, 0.0, 0.25))
    assert torch.allclose(plain, srn().classify(maps.mean((2, 3))), atol=1e-6)
    assert torch.allclose(both, 0.25 * plain + 0.75 * related, atol=1e-5)


def test_the_loss_counts_the_attentions_own_logits_too():
    head, maps, targets = srn(), torch.randn(2, 6, 4, 5), torch.tensor([[1.0, 0, 1], [0, 0, 1]])
    attended = head.class_maps(maps).sum((2, 3))
    expected = bce_loss(head(maps), targets) + bce_loss(attended, targets)
    assert head.training_loss(maps, targets, None).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_value_of_a_map_does_not_depend_on_its_size():
    head, maps = srn(), torch.randn(1, 6, 7, 7)
    larger = maps.repeat_interleave(2, 2).repeat_interleave(2, 3)
    head.attend[2] = torch.nn.Conv2d(8, 8, 1)  # without neighbours, a pixel that is doubled has the same value
    assert torch.allclose(head(maps), head(larger), atol=1e-4)
