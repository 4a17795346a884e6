"""The paper's Tables 1 to 4, and measured checkpoints beside their rows.

Rows of the authors' own runs; those that they cite are in `CITED`, for Tables 1 and 2. All in per cent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any, NamedTuple

from numpy.typing import NDArray

from decouplenet.config import Config, flatten
from decouplenet.data.image_set import ImageSet
from decouplenet.errors import InputError
from decouplenet.metrics import multilabel_metrics

# In the order of the paper's tables.
COLUMNS = {"map": "mAP", "p_c": "P-C", "r_c": "R-C", "f1_c": "F1-C", "p_o": "P-O", "r_o": "R-O", "f1_o": "F1-O"}
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
"""Rows that the paper copies from others."""
PLACES = ("data.train_", "data.val_", "data.cache", "data.workers")
"""Beginnings of keys that say where the data are."""
_POOLED = tuple(f"model.{name}" for name in ("maps_per_class", "upsampling", "attention", "k_pos", "k_neg", "alpha"))
IDLE = {"gap": _POOLED, "gmp": _POOLED, "wildcat": ("model.upsampling", "model.attention")}
"""Keys that a baseline does not use."""


class Row(NamedTuple):
    """What of a configuration makes a row of the paper's tables."""

    head: str
    """As `model.head`; the paper's baseline is taken for `gap`, by its mAP."""
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


# By data set: a row, the table that it is in, and its values.
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


def compare(configs: Sequence[Config], scores: Sequence[NDArray[Any]], images: ImageSet) -> list[dict[str, Any]]:
    """Measured checkpoints beside the paper's rows, trainings that differ in their seed alone as one.

    Args:
        configs: of the checkpoints, as they were trained.
        scores: their probabilities, N×C each.
        images: what they scored.

    Returns:
        A mapping a row: `row`, `seeds`, `mean` and `spread` (standard deviation; None of one seed) of the metrics in
        [0, 1]; where the paper has such a row, its `table`, `paper` (in [0, 1] too), the `backbone` that it is of,
        and `difference`. Where both arch1 and arch2 are there of a seed, the row of the ensemble of the two follows.

    Raises:
        InputError: as `check_comparable`.
    """
    data = check_comparable(configs, len(images.class_names))
    groups: dict[str, dict[int, tuple[Config, NDArray[Any]]]] = {}
    for config, own in zip(configs, scores, strict=True):
        groups.setdefault(_but(config), {})[config.train.seed] = config, own
    rows = []
    for seeds in groups.values():
        config = next(iter(seeds.values()))[0]
        rows.append(_summary(row_of(config), data, {seed: own for seed, (_, own) in seeds.items()}, images))
        if row_of(config).attention == "arch1":
            other = groups.get(_but(config, attention="arch2"), {})
            both = {seed: (own + other[seed][1]) / 2 for seed, (_, own) in seeds.items() if seed in other}
            if both:
                rows.append(_summary(row_of(config)._replace(attention="arch1+arch2"), data, both, images))
    order = {row: i for i, row in enumerate(OWN[data])}
    return sorted(rows, key=lambda each: order.get(each["key"], len(order)))


def check_comparable(configs: Sequence[Config], classes: int) -> str:
    """The name of the paper's data set with so many classes.

    Raises:
        InputError: it has none, or two configurations differ in nothing.
    """
    if classes not in DATA:
        raise InputError(f"--compare paper: its data sets have 80 (MS-COCO) and 81 classes (NUS-WIDE), not {classes}")
    known = Counter((_but(config), config.train.seed) for config in configs)
    for (_, seed), times in known.items():
        if times > 1:
            raise InputError(f"--compare paper: {times} checkpoints are of one configuration and seed {seed}")
    return DATA[classes]


def row_of(config: Config) -> Row:
    """The row that a configuration is of."""
    model = config.model
    if model.head != "decouplenet":
        return Row(model.head, "", "", model.backbone)
    return Row("decouplenet", model.attention, model.upsampling, model.backbone)


def _but(config: Config, *, attention: str | None = None) -> str:
    """What decides a configuration's network, but for the seed, as text; with another attention branch, if given."""
    flat = flatten(config.to_dict())
    if attention:
        flat["model.attention"] = attention
    without = ("train.seed", "scaling.", *PLACES, *IDLE.get(config.model.head, ()))
    return json.dumps({key: value for key, value in flat.items() if not key.startswith(without)}, sort_keys=True)


def _summary(row: Row, data: str, by_seed: Mapping[int, NDArray[Any]], images: ImageSet) -> dict[str, Any]:
    measured = [multilabel_metrics(own, images.targets, ignored=images.ignored) for own in by_seed.values()]
    means = {key: mean(each[key] for each in measured) for key in COLUMNS}
    spread = {key: stdev([each[key] for each in measured]) for key in COLUMNS} if len(measured) > 1 else None
    told: dict[str, Any] = {"row": _name(row), "key": row, "seeds": sorted(by_seed), "mean": means, "spread": spread}
    ranked = sorted(OWN[data], key=lambda known: known.backbone != row.backbone)
    found = next((known for known in ranked if known[:3] == row[:3]), None)
    if found:
        table, values = OWN[data][found]
        paper = {key: round(value / 100, 3) for key, value in values.items()}
        difference = {key: means[key] - value for key, value in paper.items()}
        told |= {"table": table, "backbone": found.backbone, "paper": paper, "difference": difference}
    return told


def _name(row: Row) -> str:
    """A row as the paper would call it."""
    if row.head in ("gap", "gmp"):
        return f"{row.backbone} (baseline, {row.head})"
    if row.head == "wildcat":
        return f"WILDCAT, {row.backbone}"
    branch = "w/o attn" if row.attention == "none" else row.attention
    sampling = "" if row.upsampling == "transposed" else f", {row.upsampling} upsampling"
    return f"DecoupleNet ({branch}), {row.backbone}{sampling}"


def text(rows: Sequence[Mapping[str, Any]], classes: int) -> str:
    """The comparison as a table in per cent, after the rows that the paper cites."""
    width = max(34, *(len(each["row"]) for each in rows))
    cited = [(line[:18].strip(), line[18:].split()) for line in CITED[DATA[classes]].splitlines()]
    lines = [f"{'the paper cites':{width}}" + "".join(f"{title:>8}" for title in COLUMNS.values())]
    lines += [f"  {name:{width - 2}}" + "".join(f"{value:>8}" for value in values) for name, values in cited]
    for each in rows:
        seeds = f"{len(each['seeds'])} seed" + ("s" if len(each["seeds"]) > 1 else "")
        lines += ["", f"{each['row']}", _line(f"  measured, {seeds}", width, each["mean"])]
        if each["spread"]:
            lines.append(_line("  spread over them", width, each["spread"]))
        if "paper" in each:
            where = f"  paper, Table {each['table']}, {each['backbone']}"
            lines += [_line(where, width, each["paper"]), _line("  difference", width, each["difference"], sign="+")]
        else:
            lines.append("  the paper has no such row")
    return "\n".join(lines)


def _line(name: str, width: int, values: Mapping[str, float], sign: str = "") -> str:
    cells = (f"{100 * values[key]:{sign}8.2f}" if key in values else f"{'-':>8}" for key in COLUMNS)
    return f"{name:{width}}" + "".join(cells)
