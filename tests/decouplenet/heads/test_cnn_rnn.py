"""CNN-RNN: the sequences that it is trained on, its loss, and the order of its scores."""

import pytest
import torch

from decouplenet.heads.cnn_rnn import NO_LABEL, CnnRnn
from decouplenet.heads.settings import CnnRnnSettings

CLASSES = 3
END, START = CLASSES, CLASSES + 1
TARGETS = torch.tensor([[1, 0, 1], [0, 0, 1], [0, 0, 0], [0, 1, 1]])


def head():
    torch.manual_seed(0)
    made = CnnRnn(6, CLASSES, CnnRnnSettings(embedding=8, width=12))
    made.see_labels(TARGETS)
    return made


def test_labels_come_in_the_order_of_their_frequency_and_then_the_end():
    inputs, wanted = head()._sequences(TARGETS)
    assert wanted.tolist() == [[2, 0, END], [2, END, NO_LABEL], [END, NO_LABEL, NO_LABEL], [2, 1, END]]
    assert inputs[0].tolist() == [START, 2, 0]
    assert inputs[1, :2].tolist() == [START, 2]
    assert head().longest == 2


def test_the_loss_is_the_mean_cross_entropy_of_an_images_steps():
    made, maps = head(), torch.randn(1, 6, 2, 2)
    hidden = torch.zeros(1, 1, 12)
    state, expected = (hidden, hidden), 0.0
    for token, following in ((START, 2), (2, 0), (0, END)):
        output, state = made.lstm(made.labels(torch.tensor([[token]])), state)
        joint = (made.from_lstm(output) + made.from_image(maps.mean((2, 3)))[:, None]).relu()
        scores = joint[0, 0] @ made.labels.weight[: CLASSES + 1].T
        expected -= scores.log_softmax(0)[following].item()
    loss = made.training_loss(maps, TARGETS[:1], None)
    assert loss.item() == pytest.approx(CLASSES * expected / 3, rel=1e-5)


def test_the_named_labels_come_above_all_others():
    made, maps = head().eval(), torch.randn(8, 6, 2, 2)
    with torch.no_grad():
        made.labels.weight.mul_(3.0)
        scores = made(maps).sigmoid()
    assert ((scores > 0.5).sum(1) <= 2).all(), "no more labels than the longest sequence has"
    assert (scores > 0.5).any()
    assert (scores < 0.5).any()
