"""The losses against direct implementations of the equations in their papers."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from decouplenet.config import TrainConfig
from decouplenet.errors import InputError
from decouplenet.losses import BUILT_IN, asymmetric_loss, bce_loss, lsep_loss, make_loss, warp_loss
from decouplenet.registration import register_loss


@st.composite
def cases(draw):
    seed, images, classes = draw(st.integers(0, 10_000)), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, generator=generator, dtype=torch.float64) * draw(st.sampled_from([1, 5, 30]))
    targets = (torch.rand(images, classes, generator=generator) < 0.4).double()
    ignored = torch.rand(images, classes, generator=generator) < 0.2
    return logits, targets, ignored


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([0.0, 1.0, 2.5]), st.sampled_from([0.0, 1.0, 4.0]), st.sampled_from([0.0, 0.05, 0.3]))
def test_asl_equals_its_equation(case, gamma_pos, gamma_neg, margin):
    logits, targets, ignored = case
    expected = 0.0
    for i in range(logits.shape[0]):
        for c in range(logits.shape[1]):
            if ignored[i, c]:
                continue
            p = 1 / (1 + math.exp(-logits[i, c]))
            if targets[i, c]:
                expected -= (1 - p) ** gamma_pos * -math.log1p(math.exp(-logits[i, c]))
            else:
                lowered = max(p - margin, 0)
                log = -math.log1p(math.exp(logits[i, c])) if margin == 0 else math.log(1 - lowered)
                expected -= lowered**gamma_neg * log
    loss = asymmetric_loss(logits, targets, ignored, gamma_pos=gamma_pos, gamma_neg=gamma_neg, margin=margin)
    assert float(loss) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_asl_without_focus_or_margin_is_cross_entropy():
    logits, targets = torch.randn(5, 7) * 40, (torch.rand(5, 7) < 0.3).float()
    plain = asymmetric_loss(logits, targets, gamma_neg=0.0, margin=0.0)
    assert float(plain) == pytest.approx(float(F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_warp_equals_its_equation(case):
    logits, targets, ignored = case
    expected = 0.0
    for f, labels, skip in zip(logits.tolist(), targets.tolist(), ignored.tolist(), strict=True):
        classes = [c for c in range(len(f)) if not skip[c]]
        for j in (c for c in classes if labels[c]):
            lacking = [1 - f[j] + f[k] for k in classes if not labels[k] and 1 - f[j] + f[k] > 0]
            rank = len(lacking)
            if rank:
                expected += sum(1 / i for i in range(1, rank + 1)) * sum(lacking) / rank
    assert float(warp_loss(logits, targets, ignored)) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_lsep_equals_its_equation(case):
    logits, targets, ignored = case
    expected = 0.0
    for f, labels, skip in zip(logits.tolist(), targets.tolist(), ignored.tolist(), strict=True):
        classes = [c for c in range(len(f)) if not skip[c]]
        present, absent = ([c for c in classes if bool(labels[c]) is has] for has in (True, False))
        expected += len(f) * math.log(1 + sum(math.exp(f[v] - f[u]) for v in absent for u in present))
    assert float(lsep_loss(logits, targets, ignored)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", BUILT_IN)
@settings(max_examples=30, deadline=None)
@given(case=cases())
def test_gradients_are_finite_and_zero_where_ignored(name, case):
    logits, targets, ignored = case
    loss = BUILT_IN[name](TrainConfig(asl_gamma_pos=0.5, asl_gamma_neg=0.5))
    for extreme in (1.0, 1000.0):
        scaled = (logits * extreme).requires_grad_()
        value = loss(scaled, targets, ignored)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(scaled.grad).all()
        assert (scaled.grad[ignored] == 0).all()


@pytest.mark.parametrize("name", BUILT_IN)
def test_training_learns_with_each_loss(config, name):
    from decouplenet.data.opened import open_data
    from decouplenet.engine import Engine

    config = config(train__loss=name, optim__name="adamw", optim__lr=0.01, train__epochs=4)
    engine = Engine(config, open_data(config.data))
    before = engine.evaluate()["val_map"]
    losses = [engine.train_epoch()["train_loss"] for _ in range(4)]
    assert losses[-1] < losses[0]
    assert engine.evaluate()["val_map"] > before


def test_cross_entropy_is_torchs():
    logits, targets = torch.randn(5, 7), (torch.rand(5, 7) < 0.3).float()
    assert torch.equal(bce_loss(logits, targets), F.binary_cross_entropy_with_logits(logits, targets, reduction="sum"))


def test_the_loss_of_a_config(registries):
    assert make_loss(TrainConfig(loss="bce")) is bce_loss
    assert make_loss(TrainConfig(loss="warp")) is warp_loss
    logits, targets = torch.randn(5, 7), (torch.rand(5, 7) < 0.3).float()
    config = TrainConfig(loss="asl", asl_gamma_pos=1.0, asl_gamma_neg=2.0, asl_margin=0.1)
    expected = asymmetric_loss(logits, targets, gamma_pos=1.0, gamma_neg=2.0, margin=0.1)
    assert torch.equal(make_loss(config)(logits, targets, None), expected)

    @register_loss("mine")
    def mine(logits, targets, ignored=None):
        return logits.sum()

    assert make_loss(TrainConfig(loss="mine")) is mine


def test_an_unknown_loss_is_refused():
    with pytest.raises(InputError, match="train.loss: unknown 'wrap'; did you mean 'warp'"):
        make_loss(TrainConfig(loss="wrap"))
