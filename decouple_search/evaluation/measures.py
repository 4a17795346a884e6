"""The measures of scores, of each checkpoint and of their ensemble, as a mapping and as text."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decouple_search.evaluation.paper_tables import COLUMNS
from decouplenet.data.image_set import ImageSet
from decouplenet.data.places import shown
from decouplenet.metrics import THRESHOLD, multilabel_metrics, top_k_metrics
from decouplenet.thresholds import best_thresholds, read_thresholds, write_thresholds

if TYPE_CHECKING:
    from decouple_search.evaluation.scoring import Scored

TOP_LABELS = 3
"""Labels per image of the top-k measures."""


def measure(
    names: Sequence[str], scored: Scored, *, split: str, thresholds: str | None = None, tune: str | None = None
) -> dict[str, Any]:
    """Measure checkpoints. Several checkpoints are also measured as an ensemble.

    Args:
        names: the names of the checkpoints.
        scored: their scores.
        split: train, val or test.
        thresholds: a file of thresholds above which a class counts as a label.
        tune: a file to write; it gets the thresholds with the highest F1 on these images.

    Returns:
        `multilabel_metrics` of a single checkpoint, or of the mean score of several, with `top3` and
        `top3_above_half` (`top_k_metrics`); `split`, `images` (their number), `class_names`, `seconds`; and in
        `checkpoints` the same metrics of each, with its name as `checkpoint`.

    Raises:
        InputError: a file cannot be read or written, or has other classes.
    """
    images = scored.images
    ensemble: NDArray[Any] = np.stack(scored.scores).mean(0, dtype=np.float64)
    above: float | list[float] = THRESHOLD
    if tune:
        tuned = best_thresholds(ensemble, images.targets, images.ignored)
        about = {"checkpoints": list(names), "split": split, "images": len(images), "digest": _digest(images)}
        write_thresholds(Path(tune).expanduser(), images.class_names, tuned, about)
    if thresholds:
        above, about = read_thresholds(thresholds, images.class_names)
        if about.get("digest") == _digest(images):
            note = f"note: the thresholds of '{thresholds}' were tuned on these images, so P, R and F1 are too high"
            print(note, file=sys.stderr)  # noqa: T201
    facts = {"split": split, "images": len(images), "class_names": list(images.class_names), "seconds": scored.seconds}
    each = [
        {"checkpoint": name, **_metrics(scores, images, above)}
        for name, scores in zip(names, scored.scores, strict=True)
    ]
    return {**_metrics(ensemble, images, above), **facts, "checkpoints": each}


def _metrics(scores: NDArray[Any], images: ImageSet, thresholds: float | list[float]) -> dict[str, Any]:
    k, ignored = min(TOP_LABELS, scores.shape[1]), images.ignored
    return {
        **multilabel_metrics(scores, images.targets, ignored=ignored, thresholds=thresholds),
        "top3": top_k_metrics(scores, images.targets, k, ignored=ignored),
        "top3_above_half": top_k_metrics(scores, images.targets, k, ignored=ignored, above=THRESHOLD),
    }


def _digest(images: ImageSet) -> str:
    """A digest by which a set of images is recognised."""
    names = "\n".join(shown(path).rpartition("/")[2] for path in images.paths)
    return hashlib.sha256(names.encode() + images.targets.tobytes()).hexdigest()[:16]


def head(measured: dict[str, Any]) -> str:
    """The number of images, as the first line of a table."""
    return f"{measured['images']} {measured['split']} images, in per cent"


def table(measured: dict[str, Any]) -> str:
    """The measures as text, in per cent: one line per checkpoint, and one for the ensemble.

    Args:
        measured: the result of `measure`.
    """
    rows = [(each["checkpoint"], each) for each in measured["checkpoints"]]
    if len(rows) > 1:
        rows.append(("ensemble", measured))
    width = max(len(name) for name, _ in rows) + len(", top 3 > 0.5")
    lines = [head(measured), f"{'':{width}}" + "".join(f"{title:>8}" for title in COLUMNS.values())]
    lines += [_line(name, width, row) for name, row in rows]
    for key, title in (("top3", "top 3"), ("top3_above_half", "top 3 > 0.5")):
        lines += [_line(title if len(rows) == 1 else f"{name}, {title}", width, row[key]) for name, row in rows]
    if missing := measured["classes_without_positives"]:
        lines.append(f"mAP leaves out {missing} of {len(measured['class_names'])} classes, because no image has them")
    return "\n".join(lines)


def _line(name: str, width: int, row: dict[str, Any]) -> str:
    return f"{name:{width}}" + "".join(f"{100 * row[key]:8.2f}" if key in row else f"{'':8}" for key in COLUMNS)
