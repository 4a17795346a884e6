"""CSRA (Zhu and Wu, ICCV 2021, "Residual attention: a simple but effective method for multi-label recognition").

Shapes: B images, D channels, C classes, h×w the size of the backbone's map.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from decouplenet.heads.settings import CsraSettings

TEMPERATURES: dict[int, tuple[float, ...]] = {
    1: (1,),
    2: (1, 99),
    3: (1, 2, 99),
    4: (1, 2, 4, 99),
    5: (1, 2, 3, 4, 99),
    6: (1, 2, 3, 4, 5, 99),
    7: (1, 2, 3, 4, 5, 6, 99),
    8: (1, 2, 3, 4, 5, 6, 7, 99),
}
"""The temperatures by their number. The paper has 1, 2, 4, 6 and 8; 99 stands for infinity, the maximum."""


class Csra(nn.Module):
    """The mean of a class's scores at all pixels, plus its scores where it is most likely.

    A class's classifier is a vector of length 1, by which the features at each pixel are scored. With the scores `s`,
    each attention adds to the logit (with the classifier taken into the paper's sums of features)

        mean(s) + weight · Σ softmax(T · s) s

    Args:
        channels: D.
        num_classes: C.
        settings: the section `head.csra`.
    """

    def __init__(self, channels: int, num_classes: int, settings: CsraSettings) -> None:
        super().__init__()
        self.temperatures, self.weight = TEMPERATURES[settings.temperatures], settings.weight
        self.classifier = nn.Conv2d(channels, num_classes, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """B×D×h×w -> logits B×C."""
        scores = self.class_maps(features).flatten(2)  # B×C×hw
        mean = scores.mean(2)
        logits = mean * len(self.temperatures)
        for temperature in self.temperatures:
            attended = scores.amax(2) if temperature == 99 else ((scores * temperature).softmax(2) * scores).sum(2)
            logits = logits + self.weight * attended
        return logits

    def class_maps(self, features: Tensor) -> Tensor:
        """The scores of all pixels: B×D×h×w -> B×C×h×w."""
        return F.conv2d(features, F.normalize(self.classifier.weight, dim=1))
