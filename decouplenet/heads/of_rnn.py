"""Order-free RNN with visual attention (Chen et al., AAAI 2018).

Shapes: B images, D channels, C classes, h×w the size of the backbone's map, E the width of embeddings, H that of the
LSTM.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decouplenet.heads.beam_search import State, beam_search
from decouplenet.heads.settings import OfRnnSettings


class OfRnn(nn.Module):
    """An LSTM looks at one region after another and names the label that it is surest of, in no order given before.

    At each step it predicts all labels that are still to be named: the pool, at first all of an image's labels. In
    training the surest label of the pool is taken out of it. The loss is binary cross-entropy with the pool at each
    step, and `train.loss` must be bce. A class's score in evaluation is the highest probability that it had in a
    beam search, in which a sequence ends where no label is likely any more.

    Args:
        channels: D.
        num_classes: C.
        settings: the section `head.of_rnn`.
    """

    longest: Tensor
    """The most labels of a training image."""

    def __init__(self, channels: int, num_classes: int, settings: OfRnnSettings) -> None:
        super().__init__()
        self.num_classes, self.beam = num_classes, settings.beam
        self.labels = nn.Embedding(num_classes + 2, settings.embedding)  # with the end and the start
        self.lstm = nn.LSTMCell(settings.embedding + channels, settings.width)
        self.from_pixels = nn.Conv2d(channels, settings.width, 1)
        self.from_memory = nn.Linear(settings.width, settings.width)
        self.attention = nn.Linear(settings.width, 1)
        self.predict = nn.Linear(settings.width, num_classes)
        self.register_buffer("longest", torch.tensor(num_classes))

    def see_labels(self, targets: Tensor) -> None:
        """Take the most labels of an image from the training labels, N×C of 0 and 1."""
        self.longest.copy_(targets.float().sum(1).max())

    def training_loss(self, features: Tensor, targets: Tensor, ignored: Tensor | None) -> Tensor:
        """The mean over an image's steps, summed over images and classes: B×D×h×w, B×C -> a scalar."""
        pool = (targets > 0) if ignored is None else (targets > 0) & ~ignored
        counts = pool.sum(1)
        state, token = self._start(features), torch.full((len(features),), self.num_classes + 1, device=pool.device)
        total = features.new_zeros((), dtype=torch.float32)
        for step in range(int(counts.max()) + 1):
            logits, state = self._step(state, token)
            logits = logits.float()
            per_image = (counts >= step).float() / (counts + 1)  # an image with n labels has n + 1 steps
            terms = F.binary_cross_entropy_with_logits(logits, pool.float(), reduction="none")
            terms = terms if ignored is None else terms.masked_fill(ignored, 0.0)
            total = total + (terms.sum(1) * per_image).sum()
            surest = logits.detach().masked_fill(~pool, -torch.inf).argmax(1)
            token = torch.where(pool.any(1), surest, self.num_classes)
            pool = pool & ~F.one_hot(surest, self.num_classes).bool()
        return total

    def forward(self, features: Tensor) -> Tensor:
        """B×D×h×w -> logits B×C."""

        def step(state: State, token: Tensor) -> tuple[Tensor, Tensor, State]:
            logits, state = self._step(state, token)
            log_p = F.logsigmoid(logits.float())
            none_left = torch.log1p(-log_p.exp().amax(1, keepdim=True).clamp(max=1 - 1e-6))
            return torch.cat([log_p, none_left], 1), log_p.exp(), state

        steps, state = int(self.longest), self._start(features)
        named = beam_search(step, state, len(features), self.num_classes, width=self.beam, steps=steps)
        return named.highest.logit(1e-6)

    def _start(self, features: Tensor) -> State:
        memory = features.new_zeros(len(features), self.lstm.hidden_size)
        return features, self.from_pixels(features), memory, memory

    def _step(self, state: State, token: Tensor) -> tuple[Tensor, State]:
        """Look at the map, and predict: the logits B×C and the next state."""
        features, keys, hidden, cell = state
        fit = self.attention((keys.flatten(2).transpose(1, 2) + self.from_memory(hidden)[:, None]).tanh())  # B×hw×1
        seen = (features.flatten(2) @ fit.softmax(1)).squeeze(2)  # B×D
        hidden, cell = self.lstm(torch.cat([self.labels(token), seen], 1), (hidden, cell))
        return self.predict(hidden), (features, keys, hidden, cell)
