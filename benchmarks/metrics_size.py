"""Time and memory of our metrics and of torchmetrics at NUS-WIDE's size, on the same scores.

    python -m benchmarks.metrics_size [--labels FILE] [--images 107859] [--classes 81]

`--labels` is a csv that `data.format nuswide` reads; the image files need not exist. Without it the labels are random,
and 2.4 % of them are positive. Scores are random. Each arm runs in a separate process, which holds the labels and
scores before the measurement starts. The reported memory is the peak above that.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.command_line import CommandParser, flag, run
from decouplenet.data.annotations.nuswide import read_nuswide
from decouplenet.data.reporter import Reporter
from decouplenet.metrics import multilabel_metrics

Arrays = tuple[NDArray[np.float32], NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's flags."""

    labels: str | None = flag(None)
    """Csv of NUS-WIDE's labels."""
    images: int = flag(107_859)
    """Number of images, if labels are random."""
    classes: int = flag(81)
    """Number of classes, if labels are random."""


def ours(scores: NDArray[np.float32], targets: NDArray[np.uint8]) -> dict[str, float]:
    """All metrics of the paper's tables, and both kinds of average precision."""
    metrics = multilabel_metrics(scores, targets)
    return {key: metrics[key] for key in ("map_plain", "map", "p_c", "r_c", "f1_c", "p_o", "r_o", "f1_o")}


def theirs(scores: NDArray[np.float32], targets: NDArray[np.uint8]) -> dict[str, float]:
    """The same metrics by torchmetrics, which has no VOC2010-12 mAP."""
    import torch
    from torchmetrics.functional import classification

    s, t, classes = torch.from_numpy(scores), torch.from_numpy(targets).long(), scores.shape[1]
    metrics = {"map_plain": classification.multilabel_average_precision(s, t, classes)}
    for kind, average in (("c", "macro"), ("o", "micro")):
        metrics[f"p_{kind}"] = classification.multilabel_precision(s, t, classes, average=average)
        metrics[f"r_{kind}"] = classification.multilabel_recall(s, t, classes, average=average)
        metrics[f"f1_{kind}"] = classification.multilabel_f1_score(s, t, classes, average=average)
    return {key: float(value) for key, value in metrics.items()}


ARMS: dict[str, Callable[..., dict[str, float]]] = {"ours": ours, "torchmetrics": theirs}


def _measure(name: str, arrays: Arrays) -> dict[str, Any]:
    small = tuple(array[:64] for array in arrays)
    ARMS[name](*small)  # warm up: imports and one-time initialisation
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak memory
    memory_before, start = _memory("VmRSS"), time.perf_counter()
    metrics = ARMS[name](*arrays)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "mb": _memory("VmHWM") - memory_before, **metrics}


def _memory(name: str) -> float:
    """Memory of this process in megabytes; the name is a field of Linux's /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; prints a table and one line of JSON."""
    description = "Our metrics and torchmetrics at NUS-WIDE's size."
    parser = CommandParser("python -m benchmarks.metrics_size", description, Flags, config_keys=False)
    flags = parser.given(arguments).flags
    rng = np.random.default_rng(0)
    if flags.labels:
        ignored: list[str] = []  # collects the faults, which are the missing photos
        labels = Path(flags.labels)
        with tempfile.TemporaryDirectory() as folder:
            targets = read_nuswide(labels, folder, test=True, key="--labels", reporter=Reporter(ignored.append)).targets
    else:
        targets = (rng.random((flags.images, flags.classes)) < 0.024).astype(np.uint8)
    scores = rng.random(targets.shape, dtype=np.float32)
    measured = {}
    for name in ARMS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured[name] = pool.apply(_measure, (name, (scores, targets)))
    print(f"{targets.shape[0]} images, {targets.shape[1]} classes")
    print(f"{'':<14}{'seconds':>9}{'MB':>8}{'map_plain':>11}{'f1_c':>8}{'f1_o':>8}")
    for name, result in measured.items():
        print(
            f"{name:<14}{result['seconds']:9.2f}{result['mb']:8.0f}{result['map_plain']:11.6f}{result['f1_c']:8.4f}"
            f"{result['f1_o']:8.4f}"
        )
    ratio = measured["ours"]["seconds"] / measured["torchmetrics"]["seconds"]
    print(f"ours / torchmetrics: {ratio:.2f} in seconds")
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
