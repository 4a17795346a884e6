"""CNN-RNN (Wang et al., CVPR 2016, "CNN-RNN: a unified framework for multi-label image classification").

Shapes: B images, D channels, C classes, T steps, E the width of embeddings, H that of the LSTM.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decouplenet.heads.beam_search import State, beam_search
from decouplenet.heads.settings import CnnRnnSettings

NO_LABEL = -100
"""A target that does not count: the sequence has ended before."""


class CnnRnn(nn.Module):
    """An LSTM names an image's labels, the most frequent class first, in a space that labels and images share (Fig. 4).

    Its loss is the cross-entropy of the next label, and `train.loss` must be bce. A class's score in evaluation is the
    highest probability that it had in a beam search. The labels of the most probable sequence come above all others:
    their scores are in the upper half of (0, 1).

    Args:
        channels: D.
        num_classes: C.
        settings: the section `head.cnn_rnn`.
    """

    rank: Tensor
    """C, the place of each class by its number of training images, from 0."""
    longest: Tensor
    """The most labels of a training image."""

    def __init__(self, channels: int, num_classes: int, settings: CnnRnnSettings) -> None:
        super().__init__()
        self.num_classes, self.beam = num_classes, settings.beam
        self.labels = nn.Embedding(num_classes + 2, settings.embedding)  # U_l, with the end and the start
        self.lstm = nn.LSTM(settings.embedding, settings.width, batch_first=True)
        self.from_lstm = nn.Linear(settings.width, settings.embedding)  # U_o
        self.from_image = nn.Linear(channels, settings.embedding)  # U_I
        self.register_buffer("rank", torch.arange(num_classes))
        self.register_buffer("longest", torch.tensor(num_classes))

    def see_labels(self, targets: Tensor) -> None:
        """Take the order of the classes from the training labels, N×C of 0 and 1."""
        counts = targets.float()
        self.rank.copy_(counts.sum(0).argsort(descending=True, stable=True).argsort())
        self.longest.copy_(counts.sum(1).max())

    def training_loss(self, features: Tensor, targets: Tensor, ignored: Tensor | None) -> Tensor:
        """The cross-entropy per step times C, summed over images, without ignored labels: B×D×h×w, B×C -> a scalar."""
        inputs, wanted = self._sequences(targets if ignored is None else targets.masked_fill(ignored, 0))
        outputs, _ = self._remember(self.labels(inputs))
        scores = self._scores(outputs, features.mean((2, 3))[:, None]).float()
        of_steps = F.cross_entropy(scores.transpose(1, 2), wanted, reduction="none", ignore_index=NO_LABEL)  # B×T
        return self.num_classes * (of_steps.sum(1) / (wanted != NO_LABEL).sum(1)).sum()

    def forward(self, features: Tensor) -> Tensor:
        """B×D×h×w -> logits B×C."""
        image = features.mean((2, 3))
        memory = image.new_zeros(len(image), self.lstm.hidden_size)

        def step(state: State, token: Tensor) -> tuple[Tensor, Tensor, State]:
            image, hidden, cell = state
            output, (hidden, cell) = self._remember(self.labels(token)[:, None], (hidden[None], cell[None]))
            log_p = self._scores(output, image[:, None])[:, 0].float().log_softmax(1)
            return log_p, log_p[:, :-1].exp(), (image, hidden[0], cell[0])

        steps = int(self.longest)
        named = beam_search(step, (image, memory, memory), len(image), self.num_classes, width=self.beam, steps=steps)
        return ((named.highest + named.chosen) / 2).logit(1e-6)

    def _remember(self, inputs: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, State]:
        """The LSTM. On a CPU it runs in the dtype of its weights: an LSTM in bf16 fails where the CPU has no bf16."""
        if inputs.device.type != "cpu":
            outputs, state = self.lstm(inputs, state)
            return outputs, state
        dtype = self.labels.weight.dtype
        with torch.autocast("cpu", enabled=False):
            outputs, state = self.lstm(inputs.to(dtype), state and (state[0].to(dtype), state[1].to(dtype)))
        return outputs, state

    def _scores(self, outputs: Tensor, image: Tensor) -> Tensor:
        """The next token's scores, of T outputs of the LSTM beside the image: B×T×H, B×1×D -> B×T×(C+1)."""
        joint = (self.from_lstm(outputs) + self.from_image(image)).relu()
        scores: Tensor = joint @ self.labels.weight[:-1].T
        return scores

    def _sequences(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens that the LSTM gets, and those that it should name next: B×C -> B×T twice."""
        positive = targets > 0
        count = positive.sum(1, keepdim=True)
        order = torch.where(positive, self.rank, self.num_classes).argsort(1)
        order = F.pad(order, (0, 1))[:, : int(count.max()) + 1]
        place = torch.arange(order.shape[1], device=targets.device)
        wanted = torch.where(place < count, order, NO_LABEL).masked_fill(place == count, self.num_classes)
        inputs = F.pad(order[:, :-1], (1, 0), value=self.num_classes + 1)
        return inputs, wanted
