"""The beam search beside all sequences of a small table of probabilities."""

import itertools

import pytest
import torch

from decouplenet.heads.beam_search import beam_search

CLASSES = 3
END, START = CLASSES, CLASSES + 1


def table_step(log_p):
    """A head whose next token depends on the last one alone."""

    def step(state, token):
        rows = log_p[token]
        return rows, rows[:, :CLASSES].exp(), state

    return step


def most_probable(log_p):
    """Of all label sequences without a repeat, the most probable one, with its end."""

    def probability(labels):
        tokens = [START, *labels, END]
        return sum(float(log_p[a, b]) for a, b in itertools.pairwise(tokens))

    sequences = [labels for n in range(CLASSES + 1) for labels in itertools.permutations(range(CLASSES), n)]
    return set(max(sequences, key=probability))


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_beam_finds_the_most_probable_sequence(seed):
    torch.manual_seed(seed)
    log_p = (2 * torch.randn(CLASSES + 2, CLASSES + 1)).log_softmax(1)
    named = beam_search(table_step(log_p), (torch.zeros(1, 1),), 1, CLASSES, width=50, steps=CLASSES)
    assert set(torch.nonzero(named.chosen[0]).flatten().tolist()) == most_probable(log_p)


def test_images_do_not_disturb_one_another_and_a_class_has_its_highest_probability():
    log_p = torch.full((2, CLASSES + 2, CLASSES + 1), 0.01)
    log_p[0, START, 0], log_p[0, 0, END] = 0.97, 0.97
    log_p[1, START, 1], log_p[1, 1, 2], log_p[1, 2, END] = 0.97, 0.6, 0.97
    log_p = log_p.log()

    def step(state, token):
        rows = log_p[state[0].long().flatten(), token]
        return rows, rows[:, :CLASSES].exp(), state

    named = beam_search(step, (torch.tensor([[0.0], [1.0]]),), 2, CLASSES, width=2, steps=CLASSES)
    assert named.chosen.tolist() == [[True, False, False], [False, True, True]]
    assert named.highest[1].tolist() == pytest.approx([0.01, 0.97, 0.6], abs=1e-6)


def test_no_label_comes_twice():
    log_p = torch.zeros(CLASSES + 2, CLASSES + 1)
    log_p[:, 1] = 5.0
    log_p = log_p.log_softmax(1)
    named = beam_search(table_step(log_p), (torch.zeros(1, 1),), 1, CLASSES, width=1, steps=CLASSES)
    assert named.chosen[0, 1]
    assert named.chosen.sum() <= CLASSES
