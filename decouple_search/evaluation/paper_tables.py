"""The paper's Tables 1 to 4, and measured checkpoints beside their rows.

`OWN` has the rows of the authors' own runs, `CITED` the rows that Tables 1 and 2 cite. All values are in per cent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev
from typing import Any, NamedTuple

from numpy.typing import NDArray

from decouplenet.config import FACTS, Config
from decouplenet.data.image_set import ImageSet
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError
from decouplenet.metrics import multilabel_metrics

COLUMNS = {"map": "mAP", "p_c": "P-C", "r_c": "R-C", "f1_c": "F1-C", "p_o": "P-O", "r_o": "R-O", "f1_o": "F1-O"}
"""The measures in the order of the paper's tables, with their titles there."""
DATA = {80: "MS-COCO", 81: "NUS-WIDE"}
"""The paper's data sets by their number of classes."""
CITED = {
    "MS-COCO": """\
WARP              -  59.3 52.5 55.7 59.8 61.4 60.7
CNN-RNN           -  66.0 55.6 60.4 69.2 66.4 67.8
RLSD              68.2 67.6 57.2 62.0 70.1 63.4 66.5
RNN-RL            -  78.8 57.2 66.2 84.0 61.6 71.1
OF-RNN (w/ attn)  -  71.6 54.8 62.1 74.2 62.2 67.7
RNN-Attention     73.4 79.1 58.7 67.4 84.0 63.0 72.0
ResNet101-SRN     77.1 81.6 65.4 71.2 82.7 69.9 75.8
ResNet101-MEFF    -  80.4 70.2 74.9 85.2 72.5 78.4""",
    "NUS-WIDE": """\
K-NN              -  32.6 19.3 24.3 43.9 53.4 47.6
Softmax           -  31.7 31.2 31.4 47.8 59.5 53.0
WARP              -  31.7 35.6 33.5 48.6 60.5 53.9
CNN-RNN           -  40.5 30.4 34.7 49.9 61.7 55.2
RLSD              54.1 44.4 49.6 46.9 54.4 67.6 60.3
OF-RNN            -  59.4 50.7 54.7 69.0 71.4 70.2""",
}
"""Rows that the paper copies from other papers."""
CITED_HEADS = {
    "srn": ("SRN", "ResNet101-SRN"),
    "cnn_rnn": ("CNN-RNN", "CNN-RNN"),
    "of_rnn": ("OF-RNN", "OF-RNN"),
    "rnn_attention": ("RNN-Attention", "RNN-Attention"),
}
"""By `model.head`: a method that is a head here, and how its cited row begins."""
IGNORED = ("train.seed", *(key for key, facts in FACTS.items() if facts.path or facts.of_machine))
"""Keys that do not make another row: the seed, where the data are, and what a run uses of its machines."""


class Row(NamedTuple):
    """The part of a configuration that makes a row of the paper's tables."""

    head: str
    """As `model.head`. The paper's baseline counts as `gap`, by its mAP."""
    attention: str
    """none, arch1, arch2, or arch1+arch2 for the ensemble; empty for the baselines."""
    upsampling: str
    """As `model.upsampling`; empty for the baselines."""
    backbone: str
    """As `model.backbone`."""


def _row(values: str) -> dict[str, float]:
    return {key: float(v) for key, v in zip(COLUMNS, values.split(), strict=True) if v != "-"}


def _decouplenet(attention: str, backbone: str = "resnet101", upsampling: str = "transposed") -> Row:
    return Row("decouplenet", attention, upsampling, backbone)


OWN: dict[str, dict[Row, tuple[int, dict[str, float]]]] = {
    "MS-COCO": {
        Row("gap", "", "", "resnet101"): (1, _row("77.8 80.7 65.9 71.8 84.3 71.0 77.1")),
        Row("wildcat", "", "", "resnet101"): (1, _row("80.7 81.3 70.0 74.8 85.3 73.5 78.9")),
        _decouplenet("arch1"): (1, _row("81.7 82.9 70.8 75.6 85.0 73.5 78.8")),
        _decouplenet("arch2"): (1, _row("81.8 82.3 71.1 75.7 84.3 74.2 78.9")),
        _decouplenet("arch1+arch2"): (1, _row("82.2 83.1 71.6 76.3 84.7 74.8 79.5")),
        _decouplenet("arch1", "resnet50", "none"): (4, _row("77.7 - - 70.7 - - 75.7")),
        _decouplenet("arch1", "resnet50", "bilinear"): (4, _row("79.5 - - 73.0 - - 77.5")),
        _decouplenet("arch1", "resnet50"): (4, _row("80.0 - - 73.7 - - 77.4")),
    },
    "NUS-WIDE": {
        Row("gap", "", "", "resnet101"): (2, _row("52.4 55.4 48.9 49.4 69.4 70.3 69.8")),
        Row("wildcat", "", "", "resnet101"): (2, _row("52.3 52.4 51.5 50.6 70.0 69.2 69.6")),
        _decouplenet("arch1"): (2, _row("56.8 56.5 55.9 53.9 69.8 70.4 70.1")),
        _decouplenet("arch2"): (2, _row("56.9 59.0 54.0 53.9 70.8 70.0 70.4")),
        _decouplenet("arch1+arch2"): (2, _row("57.5 58.5 55.3 54.8 70.9 70.6 70.7")),
        _decouplenet("none"): (3, _row("56.4 - - - - - -")),
        _decouplenet("none", "resnet50"): (3, _row("56.0 - - - - - -")),
        _decouplenet("arch1", "resnet50"): (3, _row("56.5 - - - - - -")),
        _decouplenet("arch2", "resnet50"): (3, _row("56.5 - - - - - -")),
    },
}
"""By data set: the rows, each with the number of its table and its values."""


@dataclass(frozen=True)
class ComparedRow:
    """Measured checkpoints beside a row of the paper. Measures are in [0, 1]."""

    key: Row
    """The row."""
    seeds: tuple[int, ...]
    """The seeds of the checkpoints."""
    mean: Mapping[str, float]
    """The mean of each measure over the seeds."""
    spread: Mapping[str, float] | None
    """The standard deviation over the seeds; None for a single seed."""
    table: int | None = None
    """The table of the paper's row, where there is such a row."""
    paper_backbone: str | None = None
    """The backbone of the paper's row."""
    paper: Mapping[str, float] | None = None
    """The paper's measures."""

    @property
    def name(self) -> str:
        """The row as the paper would call it."""
        if self.key.head in ("gap", "gmp"):
            return f"{self.key.backbone} (baseline, {self.key.head})"
        if self.key.head == "wildcat":
            return f"WILDCAT, {self.key.backbone}"
        if self.key.head != "decouplenet":
            return f"{CITED_HEADS.get(self.key.head, (self.key.head,))[0]}, {self.key.backbone}"
        branch = "w/o attn" if self.key.attention == "none" else self.key.attention
        sampling = "" if self.key.upsampling == "transposed" else f", {self.key.upsampling} upsampling"
        return f"DecoupleNet ({branch}), {self.key.backbone}{sampling}"

    @property
    def difference(self) -> dict[str, float]:
        """The measured mean minus the paper's value."""
        return {measure: self.mean[measure] - value for measure, value in (self.paper or {}).items()}

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate --json` prints it; without the paper's part where the paper has no such row."""
        measured = {"row": self.name, "seeds": list(self.seeds), "mean": self.mean, "spread": self.spread}
        if self.paper is None:
            return measured
        paper = {"table": self.table, "backbone": self.paper_backbone, "paper": self.paper}
        return {**measured, **paper, "difference": self.difference}


def compare(configs: Sequence[Config], scores: Sequence[NDArray[Any]], images: ImageSet) -> list[ComparedRow]:
    """Measured checkpoints beside the paper's rows. Checkpoints that differ only in their seed are one row.

    Where a seed has both arch1 and arch2, the row of their ensemble follows.

    Args:
        configs: the configs that trained the checkpoints.
        scores: the checkpoints' probabilities, N×C each.
        images: the N images.

    Raises:
        InputError: as `check_comparable`.
    """
    data = check_comparable(configs, len(images.class_names))
    groups: dict[str, dict[int, tuple[Config, NDArray[Any]]]] = {}
    for config, probabilities in zip(configs, scores, strict=True):
        groups.setdefault(_identity(config), {})[config.train.seed] = config, probabilities
    rows = []
    for by_seed in groups.values():
        config = next(iter(by_seed.values()))[0]
        row = row_of(config)
        rows.append(_compared(row, data, {seed: scored for seed, (_, scored) in by_seed.items()}, images))
        if row.attention == "arch1":
            arch2 = groups.get(_identity(config, attention="arch2"), {})
            both = {seed: (scored + arch2[seed][1]) / 2 for seed, (_, scored) in by_seed.items() if seed in arch2}
            if both:
                rows.append(_compared(row._replace(attention="arch1+arch2"), data, both, images))
    order = {row: i for i, row in enumerate(OWN[data])}
    return sorted(rows, key=lambda compared: order.get(compared.key, len(order)))


def check_comparable(configs: Sequence[Config], classes: int) -> str:
    """The name of the paper's data set with this number of classes.

    Raises:
        InputError: there is no such data set, or two checkpoints have the same configuration and seed.
    """
    if classes not in DATA:
        raise InputError(f"--compare paper: its data sets have 80 (MS-COCO) and 81 classes (NUS-WIDE), not {classes}")
    counts = Counter((_identity(config), config.train.seed) for config in configs)
    for (_, seed), count in counts.items():
        if count > 1:
            raise InputError(f"--compare paper: {count} checkpoints are of one configuration and seed {seed}")
    return DATA[classes]


def row_of(config: Config) -> Row:
    """The row that a configuration belongs to."""
    model = config.model
    if model.head != "decouplenet":
        return Row(model.head, "", "", model.backbone)
    return Row("decouplenet", model.attention, model.upsampling, model.backbone)


def _identity(config: Config, *, attention: str | None = None) -> str:
    """The keys that decide a network, except the seed, as text; with another attention branch, if given."""
    flat = flatten(config.to_dict())
    if attention:
        flat["model.attention"] = attention
    used = {key: value for key, value in flat.items() if key not in IGNORED and _is_used(key, config.model.head)}
    return json.dumps(used, sort_keys=True)


def _is_used(key: str, head: str) -> bool:
    heads = FACTS[key].heads
    return heads is None or head in heads


def _compared(row: Row, data: str, by_seed: Mapping[int, NDArray[Any]], images: ImageSet) -> ComparedRow:
    measured = [multilabel_metrics(scored, images.targets, ignored=images.ignored) for scored in by_seed.values()]
    means = {measure: mean(each[measure] for each in measured) for measure in COLUMNS}
    spread = {measure: stdev([each[measure] for each in measured]) for measure in COLUMNS} if measured[1:] else None
    compared = ComparedRow(row, tuple(sorted(by_seed)), means, spread)
    nearest_first = sorted(OWN[data], key=lambda authors: authors.backbone != row.backbone)
    own_row = next((authors for authors in nearest_first if authors[:3] == row[:3]), None)
    if own_row is not None:
        table, values = OWN[data][own_row]
        return replace(compared, table=table, paper_backbone=own_row.backbone, paper=_shares(values))
    if values := _cited(row.head, data):
        return replace(compared, table=list(CITED).index(data) + 1, paper_backbone="cited", paper=_shares(values))
    return compared


def _shares(values: Mapping[str, float]) -> dict[str, float]:
    return {measure: round(value / 100, 3) for measure, value in values.items()}


def _cited(head: str, data: str) -> dict[str, float]:
    """The values of a head's cited row; empty if there is none. Its network and training are those of its own paper."""
    begins = CITED_HEADS.get(head, ("", "-"))[1]
    rows = [line for line in CITED[data].splitlines() if line.startswith(begins)]
    return _row(rows[0][18:]) if rows else {}


def text(rows: Sequence[ComparedRow], classes: int) -> str:
    """The comparison as a table in per cent, after the rows that the paper cites."""
    width = max(34, *(len(row.name) for row in rows))
    cited = [(line[:18].strip(), line[18:].split()) for line in CITED[DATA[classes]].splitlines()]
    lines = [f"{'the paper cites':{width}}" + "".join(f"{title:>8}" for title in COLUMNS.values())]
    lines += [f"  {name:{width - 2}}" + "".join(f"{value:>8}" for value in values) for name, values in cited]
    for row in rows:
        seeds = f"{len(row.seeds)} seed" + ("s" if len(row.seeds) > 1 else "")
        lines += ["", row.name, _line(f"  measured, {seeds}", width, row.mean)]
        if row.spread:
            lines.append(_line("  spread over them", width, row.spread))
        if row.paper:
            where = f"  paper, Table {row.table}, {row.paper_backbone}"
            lines += [_line(where, width, row.paper), _line("  difference", width, row.difference, sign="+")]
        else:
            lines.append("  the paper has no such row")
    return "\n".join(lines)


def _line(name: str, width: int, values: Mapping[str, float], sign: str = "") -> str:
    cells = (f"{100 * values[measure]:{sign}8.2f}" if measure in values else f"{'-':>8}" for measure in COLUMNS)
    return f"{name:{width}}" + "".join(cells)
