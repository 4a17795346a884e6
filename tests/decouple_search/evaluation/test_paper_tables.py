"""Measured checkpoints beside the paper's rows."""

import json

import numpy as np
import pytest

from decouple_search.evaluation.paper_tables import CITED, COLUMNS, OWN, Row, check_comparable, compare, row_of, text
from decouplenet.config import Config
from decouplenet.data.image_set import ImageSet
from decouplenet.dotted_keys import nest
from decouplenet.errors import InputError
from decouplenet.metrics import multilabel_metrics


def make_config(seed=0, **keys):
    flat = {"model.backbone": "resnet101", "train.seed": seed}
    return Config.from_dict(nest(flat | {key.replace("__", "."): value for key, value in keys.items()}))


def make_images(classes=80, count=60):
    rng = np.random.default_rng(0)
    targets = (rng.random((count, classes)) < 0.2).astype(np.uint8)
    return ImageSet(tuple(map(str, range(count))), targets, tuple(f"c{i}" for i in range(classes)))


def make_scores(images, seed, strength=0.2):
    noise = np.random.default_rng(seed).random(images.targets.shape)
    return np.clip(strength * images.targets + (1 - strength) * noise, 0, 1)


def compare_configs(configs, images):
    """The rows of checkpoints with these configs and random scores."""
    return compare(configs, [make_scores(images, seed) for seed in range(len(configs))], images)


@pytest.mark.parametrize("data", OWN)
def test_the_papers_rows_are_complete(data):
    rows = OWN[data]
    assert all(set(values) <= set(COLUMNS) for _, values in rows.values())
    assert all(len(line[18:].split()) == 7 for line in CITED[data].splitlines())
    best = max(rows, key=lambda row: rows[row][1]["map"])
    assert best.attention == "arch1+arch2", "of the authors' own runs, the ensemble has the best mAP"


@pytest.fixture
def seeds_and_branches():
    """Images, and pairs of a config and its scores: three seeds of arch1, three of arch2, one of a baseline."""
    images = make_images()
    pairs = [
        (make_config(seed, model__attention=branch), make_scores(images, 10 * seed + i))
        for i, branch in enumerate(("arch1", "arch2"))
        for seed in (1, 2, 3)
    ]
    pairs.append((make_config(1, model__head="gap"), make_scores(images, 99)))
    return images, pairs


def test_seeds_are_averaged_and_arch1_and_arch2_are_an_ensemble(seeds_and_branches):
    images, pairs = seeds_and_branches
    rows = compare([config for config, _ in pairs], [scores for _, scores in pairs], images)
    assert [row.name for row in rows] == [
        "resnet101 (baseline, gap)",
        "DecoupleNet (arch1), resnet101",
        "DecoupleNet (arch2), resnet101",
        "DecoupleNet (arch1+arch2), resnet101",
    ]
    maps = [multilabel_metrics(scores, images.targets)["map"] for _, scores in pairs]
    assert rows[1].mean["map"] == pytest.approx(np.mean(maps[:3]))
    assert rows[1].spread["map"] == pytest.approx(np.std(maps[:3], ddof=1))
    assert rows[1].seeds == (1, 2, 3)
    both = [multilabel_metrics((pairs[i][1] + pairs[i + 3][1]) / 2, images.targets)["map"] for i in range(3)]
    assert rows[3].mean["map"] == pytest.approx(np.mean(both))
    assert rows[3].paper["map"] == 0.822
    assert rows[3].difference["map"] == pytest.approx(np.mean(both) - 0.822)
    assert rows[0].spread is None


def test_the_text_has_the_cited_rows_and_the_measured_ones(seeds_and_branches):
    images, pairs = seeds_and_branches
    shown = text(compare([config for config, _ in pairs], [scores for _, scores in pairs], images), 80)
    assert "ResNet101-SRN" in shown
    assert "paper, Table 1, resnet101" in shown
    line = next(line for line in shown.splitlines() if line.strip().startswith("measured, 1 seed"))
    baseline = multilabel_metrics(pairs[6][1], images.targets)["map"]
    assert line.split()[3] == f"{100 * baseline:.2f}"


def test_a_row_as_json(seeds_and_branches):
    images, pairs = seeds_and_branches
    rows = compare([config for config, _ in pairs], [scores for _, scores in pairs], images)
    row = json.loads(json.dumps(rows[1].to_dict()))
    assert list(row) == ["row", "seeds", "mean", "spread", "table", "backbone", "paper", "difference"]
    assert (row["row"], row["seeds"], row["table"]) == ("DecoupleNet (arch1), resnet101", [1, 2, 3], 1)
    assert row["backbone"] == "resnet101"
    assert row["difference"]["map"] == pytest.approx(row["mean"]["map"] - 0.817)


def test_rows_of_other_tables_and_rows_that_the_paper_has_not():
    configs = [
        make_config(model__backbone="resnet50", model__upsampling="bilinear"),
        make_config(model__attention="joint"),
        make_config(model__backbone="mobilenet_v2", model__head="wildcat"),
        make_config(model__head="gmp"),
    ]
    rows = {row.name: row for row in compare_configs(configs, make_images())}
    bilinear = rows["DecoupleNet (arch1), resnet50, bilinear upsampling"]
    assert (bilinear.table, bilinear.paper) == (4, {"map": 0.795, "f1_c": 0.73, "f1_o": 0.775})
    for name in ("DecoupleNet (joint), resnet101", "resnet101 (baseline, gmp)"):
        assert rows[name].paper is None
        assert "paper" not in rows[name].to_dict()
    assert rows["WILDCAT, mobilenet_v2"].paper_backbone == "resnet101"  # the nearest one, which the text names
    assert "the paper has no such row" in text(list(rows.values()), 80)


@pytest.mark.parametrize(
    ("head", "classes", "table", "expected"),
    [
        ("srn", 80, 1, {"map": 0.771, "f1_o": 0.758}),
        ("cnn_rnn", 80, 1, {"p_c": 0.66, "f1_o": 0.678}),
        ("of_rnn", 80, 1, {"p_c": 0.716, "f1_o": 0.677}),
        ("rnn_attention", 80, 1, {"map": 0.734, "f1_o": 0.72}),
        ("cnn_rnn", 81, 2, {"p_c": 0.405, "f1_o": 0.552}),
        ("of_rnn", 81, 2, {"p_c": 0.594, "f1_o": 0.702}),
        ("srn", 81, None, {}),
        ("csra", 80, None, {}),
    ],
)
def test_heads_that_the_paper_cites_have_its_cited_rows(head, classes, table, expected):
    [row] = compare_configs([make_config(model__head=head)], make_images(classes))
    assert row.table == table
    assert expected.items() <= (row.paper or {}).items()
    assert (row.paper is None) is (table is None)
    assert "cited" in text([row], classes) or table is None


def test_a_row_of_nus_wide():
    config = make_config(model__backbone="resnet50", model__attention="none")
    [row] = compare_configs([config], make_images(81))
    assert (row.table, row.paper) == (3, {"map": 0.56})
    assert row.key == row_of(config) == Row("decouplenet", "none", "transposed", "resnet50")


def test_other_data_sets_and_equal_trainings_cannot_be_compared():
    with pytest.raises(InputError, match="not 15"):
        compare_configs([make_config()], make_images(15))
    with pytest.raises(InputError, match="2 checkpoints are of one configuration and seed 0"):
        compare_configs([make_config(), make_config()], make_images())
    assert check_comparable([make_config()], 80) == "MS-COCO"


def test_only_trainings_that_differ_in_their_seed_are_averaged():
    configs = [
        make_config(0, data__image_size=224),
        make_config(1, data__image_size=448),
        make_config(2, data__cache="/elsewhere"),
    ]
    assert [row.seeds for row in compare_configs(configs, make_images())] == [(0,), (1, 2)]


def test_a_baseline_has_no_attention_branch():
    baselines = [make_config(0, model__head="gap", model__attention=branch) for branch in ("arch1", "arch2")]
    with pytest.raises(InputError, match="2 checkpoints are of one configuration"):
        compare_configs(baselines, make_images())
    baselines[1].train.seed = 1
    assert [row.seeds for row in compare_configs(baselines, make_images())] == [(0, 1)]
