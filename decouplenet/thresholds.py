"""Thresholds of the classes, tuned on images that were held out, in place of the paper's 0.5 for all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.errors import InputError
from decouplenet.metrics import THRESHOLD


def best_thresholds(
    scores: NDArray[np.floating[Any]], targets: NDArray[Any], ignored: NDArray[np.bool_] | None = None
) -> list[float]:
    """For each class the threshold with the highest F1, half-way between two scores; 0.5 without a positive.

    Of equal ones it is the one nearest 0.5.

    Args:
        scores: N×C probabilities.
        targets: N×C, 0 or 1.
        ignored: N×C, what does not count for its class.
    """
    found = []
    for c in range(scores.shape[1]):
        counted = slice(None) if ignored is None else ~ignored[:, c]
        found.append(_best(scores[counted, c].astype(np.float64), targets[counted, c].astype(bool)))
    return found


def _best(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    if not positive.any():
        return THRESHOLD
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    hits = np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + positive.sum())  # of the labels down to this one
    below = np.append(ranked[1:], 0.0)
    apart = ranked > below  # equal scores are above the threshold together
    middles = (ranked + below) / 2
    if not apart.any():  # all are 0, and nothing is below
        return THRESHOLD
    best = np.flatnonzero(apart & (f1 >= f1[apart].max() - 1e-12))
    return float(middles[best[np.argmin(np.abs(middles[best] - THRESHOLD))]])


def write_thresholds(
    file: Path, class_names: Sequence[str], thresholds: Sequence[float], about: dict[str, Any]
) -> None:
    """Write a JSON file with `thresholds` by class, and what else is known of them."""
    content = {"thresholds": dict(zip(class_names, thresholds, strict=True)), **about}
    try:
        file.write_text(json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"'{file}' cannot be written ({error.strerror}); give another file") from None


def read_thresholds(file: str | Path, class_names: Sequence[str]) -> tuple[list[float], dict[str, Any]]:
    """The thresholds in the order of the classes, and the rest of the file.

    Raises:
        InputError: it cannot be read, or is for other classes.
    """
    try:
        content = json.loads(Path(file).expanduser().read_text())
        by_name = {str(name): float(value) for name, value in content.pop("thresholds").items()}
    except OSError as error:
        raise InputError(f"--thresholds: '{file}' cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"--thresholds: '{file}' has no thresholds by class ({error})") from None
    if wrong := [name for name, value in by_name.items() if not 0 <= value <= 1]:
        raise InputError(f"--thresholds: '{file}' has {by_name[wrong[0]]} for '{wrong[0]}'; it must be in [0, 1]")
    if by_name.keys() != set(class_names):
        apart = sorted(by_name.keys() ^ set(class_names))[:5]
        raise InputError(f"--thresholds: '{file}' is for other classes; only one has {apart}")
    return [by_name[name] for name in class_names], content
