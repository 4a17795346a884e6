"""A learning curve by a formula, which stands for a training."""

import numpy as np


def formula_value(point, epoch, epochs=9):
    """The value after an epoch, higher is better: best at lr 1e-2, alpha 0.7 and arch1, and rising with the epochs."""
    away = (np.log10(point["optim.lr"]) + 2) ** 2 / 4 + (point["model.alpha"] - 0.7) ** 2
    away += 0.1 * (point["model.attention"] != "arch1")
    return (0.9 - 0.5 * away) * (1 - 0.5 * np.exp(-3 * epoch / epochs))
