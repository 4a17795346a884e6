"""Measured checkpoints beside the paper's rows."""

import numpy as np
import pytest

from decouple_search.evaluation.paper_tables import CITED, COLUMNS, OWN, Row, compare, text
from decouplenet.config import Config
from decouplenet.dotted_keys import nest
from decouplenet.data.image_set import ImageSet
from decouplenet.errors import InputError
from decouplenet.metrics import multilabel_metrics


def config(seed=0, **keys):
    flat = {"model.backbone": "resnet101", "train.seed": seed}
    return Config.from_dict(nest(flat | {key.replace("__", "."): value for key, value in keys.items()}))


def images(classes=80, count=60):
    rng = np.random.default_rng(0)
    targets = (rng.random((count, classes)) < 0.2).astype(np.uint8)
    return ImageSet(tuple(map(str, range(count))), targets, tuple(f"c{i}" for i in range(classes)))


def scores(shown, seed, strength=0.2):
    noise = np.random.default_rng(seed).random(shown.targets.shape)
    return np.clip(strength * shown.targets + (1 - strength) * noise, 0, 1)


def test_the_rows_are_whole():
    for data, rows in OWN.items():
        assert all(set(values) <= set(COLUMNS) for _, values in rows.values())
        assert all(len(line[18:].split()) == 7 for line in CITED[data].splitlines())
    # Of all that the authors ran themselves, the ensemble is the best in mAP.
    for rows in OWN.values():
        best = max(rows, key=lambda row: rows[row][1]["map"])
        assert best.attention == "arch1+arch2"


def test_seeds_are_averaged_and_arch1_and_arch2_are_an_ensemble():
    shown = images()
    kinds = [
        (config(seed, model__attention=arch), scores(shown, 10 * seed + i))
        for i, arch in enumerate(("arch1", "arch2"))
        for seed in (1, 2, 3)
    ]
    kinds.append((config(1, model__head="gap"), scores(shown, 99)))
    rows = compare([one for one, _ in kinds], [own for _, own in kinds], shown)
    assert [row["row"] for row in rows] == [
        "resnet101 (baseline, gap)",
        "DecoupleNet (arch1), resnet101",
        "DecoupleNet (arch2), resnet101",
        "DecoupleNet (arch1+arch2), resnet101",
    ]
    maps = [multilabel_metrics(own, shown.targets)["map"] for _, own in kinds]
    assert rows[1]["mean"]["map"] == pytest.approx(np.mean(maps[:3]))
    assert rows[1]["spread"]["map"] == pytest.approx(np.std(maps[:3], ddof=1))
    assert rows[1]["seeds"] == [1, 2, 3]
    both = [multilabel_metrics((kinds[i][1] + kinds[i + 3][1]) / 2, shown.targets)["map"] for i in range(3)]
    assert rows[3]["mean"]["map"] == pytest.approx(np.mean(both))
    assert rows[3]["paper"]["map"] == 0.822
    assert rows[3]["difference"]["map"] == pytest.approx(np.mean(both) - 0.822)
    assert rows[0]["spread"] is None
    told = text(rows, 80)
    assert "ResNet101-SRN" in told
    assert "paper, Table 1, resnet101" in told
    line = next(line for line in told.splitlines() if line.strip().startswith("measured, 1 seed"))
    assert line.split()[3] == f"{100 * maps[6]:.2f}"


def test_rows_of_other_tables_and_of_none():
    shown = images()
    kinds = [config(model__backbone="resnet50", model__upsampling="bilinear"), config(model__attention="joint")]
    kinds += [config(model__backbone="mobilenet_v2", model__head="wildcat"), config(model__head="gmp")]
    rows = {row["row"]: row for row in compare(kinds, [scores(shown, i) for i in range(4)], shown)}
    bilinear = rows["DecoupleNet (arch1), resnet50, bilinear upsampling"]
    assert (bilinear["table"], bilinear["paper"]) == (4, {"map": 0.795, "f1_c": 0.73, "f1_o": 0.775})
    assert "paper" not in rows["DecoupleNet (joint), resnet101"]
    assert "paper" not in rows["resnet101 (baseline, gmp)"]
    assert rows["WILDCAT, mobilenet_v2"]["backbone"] == "resnet101"  # the nearest, and said so
    nus = images(81)
    row = compare([config(model__backbone="resnet50", model__attention="none")], [scores(nus, 1)], nus)[0]
    assert (row["table"], row["paper"]) == (3, {"map": 0.56})
    assert row["key"] == Row("decouplenet", "none", "transposed", "resnet50")
    with pytest.raises(InputError, match="not 15"):
        compare([config()], [scores(images(15), 0)], images(15))
    with pytest.raises(InputError, match="2 checkpoints are of one configuration and seed 0"):
        compare([config(), config()], [scores(shown, 0)] * 2, shown)


def test_only_seeds_are_averaged_and_only_decouplenets_are_an_ensemble():
    shown = images()
    kinds = [config(0, data__image_size=224), config(1, data__image_size=448), config(2, data__cache="/elsewhere")]
    assert [row["seeds"] for row in compare(kinds, [scores(shown, i) for i in range(3)], shown)] == [[0], [1, 2]]
    baselines = [config(0, model__head="gap", model__attention=arch) for arch in ("arch1", "arch2")]
    with pytest.raises(InputError, match="2 checkpoints are of one configuration"):
        compare(baselines, [scores(shown, i) for i in range(2)], shown)
    baselines[1].train.seed = 1
    assert [row["seeds"] for row in compare(baselines, [scores(shown, i) for i in range(2)], shown)] == [[0, 1]]
