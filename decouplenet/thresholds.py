"""Per-class thresholds, tuned on held-out images, that replace the paper's 0.5 for all classes; and their JSON file."""

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
    """The threshold of each class with the highest F1, half-way between two scores.

    Among thresholds with equal F1 it is the nearest to 0.5. A class without a positive gets 0.5.

    Args:
        scores: N×C probabilities.
        targets: N×C, 0 or 1.
        ignored: N×C, pairs of image and class that do not count.
    """
    thresholds = []
    for c in range(scores.shape[1]):
        counted = slice(None) if ignored is None else ~ignored[:, c]
        thresholds.append(_best(scores[counted, c].astype(np.float64), targets[counted, c].astype(bool)))
    return thresholds


def _best(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    if not positive.any():
        return THRESHOLD
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    hits = np.cumsum(positive[order])
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + positive.sum())  # of the labels up to each rank
    below = np.append(ranked[1:], 0.0)
    separable = ranked > below  # no threshold is between equal scores
    middles = (ranked + below) / 2
    if not separable.any():  # all scores are 0, and no threshold is below 0
        return THRESHOLD
    best = np.flatnonzero(separable & (f1 >= f1[separable].max() - 1e-12))
    return float(middles[best[np.argmin(np.abs(middles[best] - THRESHOLD))]])


def write_thresholds(
    file: Path, class_names: Sequence[str], thresholds: Sequence[float], about: dict[str, Any]
) -> None:
    """Write a JSON file with `thresholds` by class name, and the entries of `about`.

    Raises:
        InputError: the file cannot be written.
    """
    content = {"thresholds": dict(zip(class_names, thresholds, strict=True)), **about}
    try:
        file.write_text(json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise InputError(f"'{file}' cannot be written ({error.strerror}); give another file") from None


def read_thresholds(file: str | Path, class_names: Sequence[str]) -> tuple[list[float], dict[str, Any]]:
    """The thresholds in the order of `class_names`, and the other entries of the file.

    Raises:
        InputError: the file cannot be read, or is for other classes.
    """
    try:
        content = json.loads(Path(file).expanduser().read_text())
        by_name = {str(name): float(value) for name, value in content.pop("thresholds").items()}
    except OSError as error:
        raise InputError(f"--thresholds: '{file}' cannot be read ({error.strerror}); give another file") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"--thresholds: '{file}' has no thresholds by class ({error}); give a file that --tune-thresholds wrote"
        ) from None
    if wrong := [name for name, value in by_name.items() if not 0 <= value <= 1]:
        raise InputError(f"--thresholds: '{file}' has {by_name[wrong[0]]} for '{wrong[0]}'; it must be in [0, 1]")
    if by_name.keys() != set(class_names):
        difference = sorted(by_name.keys() ^ set(class_names))[:5]
        raise InputError(
            f"--thresholds: the classes of '{file}' are not the checkpoint's (they differ in {difference}); "
            "give the file of this checkpoint"
        )
    return [by_name[name] for name in class_names], content
