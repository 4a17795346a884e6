"""CSRA beside its equations, written with numpy."""

import numpy as np
import pytest
import torch

from decouplenet.heads.csra import Csra
from decouplenet.heads.settings import CsraSettings


@pytest.mark.parametrize(("number", "temperatures"), [(1, (1,)), (2, (1, np.inf)), (4, (1, 2, 4, np.inf))])
def test_it_is_the_mean_plus_the_attended_scores_of_each_temperature(number, temperatures):
    torch.manual_seed(0)
    head = Csra(6, 3, CsraSettings(temperatures=number, weight=0.3))
    maps = torch.randn(2, 6, 2, 2)
    features = maps.numpy().reshape(2, 6, 4)
    classifier = head.classifier.weight.detach().numpy().reshape(3, 6)
    classifier = classifier / np.linalg.norm(classifier, axis=1, keepdims=True)
    expected = np.zeros((2, 3))
    for image in range(2):
        for label in range(3):
            scores = classifier[label] @ features[image]
            for temperature in temperatures:
                if np.isinf(temperature):
                    attention = (scores == scores.max()).astype(float)
                else:
                    attention = np.exp(temperature * scores) / np.exp(temperature * scores).sum()
                feature = features[image].mean(1) + 0.3 * features[image] @ attention
                expected[image, label] += classifier[label] @ feature
    assert head(maps).detach().numpy() == pytest.approx(expected, abs=1e-5)
