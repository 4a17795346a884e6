"""The layers against direct implementations of the paper's equations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouplenet import spatial_pool
from decouplenet.layers import Attention, SpaceToDepth, class_max, make_upsampling, pixel_count


def pool_by_hand(maps, k_pos, k_neg, alpha):
    """Eq. 3, one map at a time."""
    out = torch.empty(maps.shape[:2], dtype=maps.dtype)
    for b in range(maps.shape[0]):
        for c in range(maps.shape[1]):
            pixels = sorted(maps[b, c].flatten().tolist(), reverse=True)
            score = sum(pixels[:k_pos]) / k_pos
            if k_neg:
                score += alpha * sum(pixels[-k_neg:]) / k_neg
            out[b, c] = score
    return out


@settings(max_examples=60, deadline=None)
@given(
    side=st.integers(1, 6),
    k_pos=st.integers(1, 36),
    k_neg=st.integers(0, 36),
    alpha=st.floats(0, 2),
    seed=st.integers(0, 9),
)
def test_spatial_pool_is_eq_3(side, k_pos, k_neg, alpha, seed):
    k_pos, k_neg = min(k_pos, side * side), min(k_neg, side * side)
    maps = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    torch.testing.assert_close(spatial_pool(maps, k_pos, k_neg, alpha), pool_by_hand(maps, k_pos, k_neg, alpha))


def test_an_int_k_is_a_number_and_a_float_k_a_share():
    assert pixel_count(1, 49) == 1
    assert pixel_count(1.0, 49) == 49
    assert pixel_count(0.2, 196) == 39
    assert pixel_count(0.001, 49) == 1
    assert pixel_count(np.int64(3), 49) == 3
    assert pixel_count(np.float32(0.5), 48) == 24


@pytest.mark.parametrize("k", [0, 50, -1, 0.0, 1.5])
def test_a_k_out_of_range_is_refused(k):
    with pytest.raises(ValueError, match="k = "):
        pixel_count(k, 49)


def test_spatial_pool_gradient_goes_to_the_pooled_pixels_only():
    maps = torch.arange(9.0).reshape(1, 1, 3, 3).requires_grad_()
    spatial_pool(maps, 2, 1, 0.5).sum().backward()
    assert maps.grad.flatten().tolist() == [0.5, 0, 0, 0, 0, 0, 0, 0.5, 0.5]


@pytest.mark.parametrize(("kind", "side", "stride"), [("transposed", 28, 2), ("bilinear", 28, 2), ("none", 14, 1)])
def test_upsampling_shapes_of_the_paper(kind, side, stride):
    layer, needed = make_upsampling(kind, 64, 20)
    upsampled = layer(torch.randn(2, 64, 14, 14))
    assert upsampled.shape == (2, 20, side, side)
    assert needed == stride
    assert SpaceToDepth(20, 3, needed)(upsampled).shape == (2, 60, 14, 14)


def test_unknown_upsampling_lists_the_valid():
    with pytest.raises(ValueError, match="none, bilinear, transposed"):
        make_upsampling("nearest", 4, 4)


def test_space_to_depth_keeps_classes_apart():
    layer = SpaceToDepth(5, 4, stride=2)
    before = torch.randn(1, 5, 8, 8)
    after = before.clone()
    after[:, 2] += 1
    changed = (layer(before) != layer(after)).flatten(2).any(2)[0]
    assert changed.nonzero().flatten().tolist() == [8, 9, 10, 11]


def test_class_max_is_class_major():
    maps = torch.randn(2, 12, 3, 3)
    expected = torch.stack([maps[:, c * 4 : (c + 1) * 4].max(1).values for c in range(3)], 1)
    assert torch.equal(class_max(maps, 4), expected)


def test_attention_is_eq_1():
    layer = Attention(6, 4).eval()
    layer.norm.running_mean.normal_()
    layer.norm.weight.data.normal_()
    maps = torch.randn(2, 6, 5, 5)
    convolved = torch.einsum("oi,bihw->bohw", layer.conv.weight[:, :, 0, 0], maps)
    normed = (convolved - layer.norm.running_mean.view(-1, 1, 1)) / math.sqrt(1 + 1e-5)
    expected = torch.sigmoid((normed * layer.norm.weight.view(-1, 1, 1)).flatten(2).max(2).values)
    torch.testing.assert_close(layer(maps).flatten(1), expected)
