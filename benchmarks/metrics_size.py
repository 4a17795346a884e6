"""Seconds and memory of the metrics at NUS-WIDE's size, beside torchmetrics, on the same scores.

    python -m benchmarks.metrics_size [--labels FILE] [--images 107859] [--classes 81]

`--labels` is a csv that `data.format nuswide` reads (paths need not be there); without it labels are drawn, 2.4 % of
them set. Scores are random. Each arm runs in a process of its own, which has the labels and scores before it begins;
memory is what it takes besides, at its peak.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.data.nuswide import read_nuswide
from decouplenet.metrics import multilabel_metrics

Arrays = tuple[NDArray[np.float32], NDArray[np.uint8]]


def ours(scores: NDArray[np.float32], targets: NDArray[np.uint8]) -> dict[str, float]:
    """All measures of the paper's tables, and both kinds of average precision."""
    told = multilabel_metrics(scores, targets)
    return {key: told[key] for key in ("map_plain", "map", "p_c", "r_c", "f1_c", "p_o", "r_o", "f1_o")}


def theirs(scores: NDArray[np.float32], targets: NDArray[np.uint8]) -> dict[str, float]:
    """The same of torchmetrics, which has no VOC2010-12 mAP."""
    import torch
    from torchmetrics.functional import classification as of

    s, t, classes = torch.from_numpy(scores), torch.from_numpy(targets).long(), scores.shape[1]
    told = {"map_plain": of.multilabel_average_precision(s, t, classes)}
    for kind, average in (("c", "macro"), ("o", "micro")):
        told[f"p_{kind}"] = of.multilabel_precision(s, t, classes, average=average)
        told[f"r_{kind}"] = of.multilabel_recall(s, t, classes, average=average)
        told[f"f1_{kind}"] = of.multilabel_f1_score(s, t, classes, average=average)
    return {key: float(value) for key, value in told.items()}


ARMS: dict[str, Callable[..., dict[str, float]]] = {"ours": ours, "torchmetrics": theirs}


def _measured(name: str, arrays: Arrays) -> dict[str, Any]:
    small = tuple(array[:64] for array in arrays)
    ARMS[name](*small)  # imports, and what is made once
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before, began = _memory("VmRSS"), time.perf_counter()
    told = ARMS[name](*arrays)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "mb": _memory("VmHWM") - before, **told}


def _memory(name: str) -> float:
    """Megabytes of this process, by Linux's name."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; a table, and one line of JSON."""
    from decouplenet.command_line import CommandParser

    parser = CommandParser("python -m benchmarks.metrics_size", "The metrics at NUS-WIDE's size, beside torchmetrics.")
    parser.add_argument("--labels", type=str | None, default=None, help="csv of NUS-WIDE's labels")
    parser.add_argument("--images", type=int, default=107_859, help="images, where labels are drawn")
    parser.add_argument("--classes", type=int, default=81, help="classes, where labels are drawn")
    own, _ = parser.given(arguments)
    rng = np.random.default_rng(0)
    if own["labels"]:
        ignored: list[str] = []  # that there are no photos
        with tempfile.TemporaryDirectory() as folder:
            targets = read_nuswide(Path(own["labels"]), folder, test=True, key="--labels", fault=ignored.append).targets
    else:
        targets = (rng.random((own["images"], own["classes"])) < 0.024).astype(np.uint8)
    scores = rng.random(targets.shape, dtype=np.float32)
    measured = {}
    for name in ARMS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured[name] = pool.apply(_measured, (name, (scores, targets)))
    print(f"{targets.shape[0]} images, {targets.shape[1]} classes")
    print(f"{'':<14}{'seconds':>9}{'MB':>8}{'map_plain':>11}{'f1_c':>8}{'f1_o':>8}")
    for name, told in measured.items():
        print(
            f"{name:<14}{told['seconds']:9.2f}{told['mb']:8.0f}{told['map_plain']:11.6f}{told['f1_c']:8.4f}"
            f"{told['f1_o']:8.4f}"
        )
    ratio = measured["ours"]["seconds"] / measured["torchmetrics"]["seconds"]
    print(f"ours / torchmetrics: {ratio:.2f} in seconds")
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    from decouplenet.command_line import run

    sys.exit(run(main))
