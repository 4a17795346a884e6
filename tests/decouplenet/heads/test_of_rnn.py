"""Order-free RNN: the pool of labels in its loss, and its attention."""

import pytest
import torch
import torch.nn.functional as F

from decouplenet.heads.of_rnn import OfRnn
from decouplenet.heads.settings import OfRnnSettings

CLASSES = 3
END, START = CLASSES, CLASSES + 1


def head():
    torch.manual_seed(0)
    return OfRnn(6, CLASSES, OfRnnSettings(embedding=8, width=12))


def test_the_surest_label_of_the_pool_is_taken_out_of_it_at_each_step():
    made, maps = head(), torch.randn(1, 6, 2, 2)
    pool, state, token, expected = [1.0, 0.0, 1.0], made._start(maps), START, 0.0
    for _ in range(3):  # two labels, and the end
        logits, state = made._step(state, torch.tensor([token]))
        expected += F.binary_cross_entropy_with_logits(logits[0], torch.tensor(pool), reduction="sum").item()
        left = [label for label in range(CLASSES) if pool[label]]
        token = max(left, key=lambda label: logits[0, label].item()) if left else END
        pool = [0.0 if label == token else value for label, value in enumerate(pool)]
    loss = made.training_loss(maps, torch.tensor([[1.0, 0.0, 1.0]]), None)
    assert loss.item() == pytest.approx(expected / 3, rel=1e-5)


def test_an_image_of_fewer_labels_costs_the_same_alone_and_beside_others():
    made, maps = head(), torch.randn(2, 6, 2, 2)
    targets = torch.tensor([[0.0, 1, 0], [1, 1, 1]])
    together = made.training_loss(maps, targets, None)
    alone = sum(made.training_loss(maps[i : i + 1], targets[i : i + 1], None) for i in range(2))
    assert together.item() == pytest.approx(alone.item(), rel=1e-5)


def test_the_order_of_pixels_does_not_count():
    made, maps = head().eval(), torch.randn(2, 6, 3, 3)
    assert torch.allclose(made(maps), made(maps.flip(2)), atol=1e-5)
