"""Figures of screened heads beside full trainings, and the measurements behind them."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from benchmarks.screening import Record, agreement, bootstrap, figures, main, spearman
from decouplenet.backbones import build_backbone

SPACE = """
base:
  model: {backbone: tiny, pretrained: WEIGHTS}
  data: {format: synthetic, image_size: 32, synthetic_images: 100, cache: CACHE}
  train: {epochs: 1, batch_size: 16}
search:
  model.alpha: {float: [0.0, 1.0]}
  optim.lr: {float: [1e-3, 1e-2], log: true}
  optim.backbone_lr_scale: {float: [0.01, 1.0]}
"""


def records(screened, full, *, seconds=(2.0, 40.0), maps=64.0):
    rows = [Record("maps", 0, 0.0, maps)]
    rows += [Record("screen", head, value, seconds[0]) for head, value in enumerate(screened)]
    return rows + [Record("full", head, value, seconds[1]) for head, value in enumerate(full)]


def test_spearman_is_that_of_scipy():
    pairs = np.random.default_rng(0).random((20, 2)).round(1)
    assert spearman(pairs) == pytest.approx(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    assert np.isnan(spearman(np.array([[1.0, 2.0], [1.0, 3.0]])))


def test_the_interval_is_wide_for_few_pairs_and_narrow_for_many():
    rng = np.random.default_rng(0)
    x = rng.random(200)
    pairs = np.stack([x, x + 0.2 * rng.random(200)], axis=1)
    few, many = bootstrap(pairs[:10]), bootstrap(pairs)
    assert few[1] - few[0] > many[1] - many[0]
    assert many[0] < spearman(pairs) < many[1]


def test_the_figures_are_ranks_regret_and_costs():
    lines = list(figures(records([0.3, 0.5, 0.4, 0.1], [0.35, 0.5, 0.55, 0.2])))
    assert lines[0].startswith("4 heads: Spearman 0.80 (bootstrap 95 % ")
    assert (
        lines[1] == "best in full 0.5500; what the best K by screening lose of it, K = 1: 0.0500, 3: 0.0000, 5: 0.0000"
    )
    assert lines[2] == "feature maps 64 s; a screened head 2.0 s (median 2.0)"
    assert lines[3] == "a full training 40 s; with the maps over 64 heads a screened one costs 0.075 of it"
    assert lines[4] == "so 13.3 heads are screened at the price of a full training"


def test_two_screens_are_compared_over_the_heads_that_both_have():
    first, second = records([0.1, 0.2, 0.3, 0.4], []), records([0.2, 0.1, 0.3], [])
    assert agreement(first, second).startswith("both screens, 3 heads: Spearman 0.50 ")


@pytest.mark.slow
def test_what_a_file_has_is_not_measured_once_more(tmp_path, capsys):
    torch.manual_seed(0)
    torch.save(build_backbone("tiny", pretrained=False)[0].state_dict(), tmp_path / "weights.pth")
    space, out = tmp_path / "space.yaml", tmp_path / "records"
    space.write_text(SPACE.replace("WEIGHTS", str(tmp_path / "weights.pth")).replace("CACHE", str(tmp_path / "cache")))
    flags = ["--space", str(space), "--epochs", "2", "--out", str(out)]
    assert main([*flags, "--heads", "2", "--full", "1"]) == 0
    first = out.read_text()
    rows = [json.loads(line) for line in first.splitlines()]
    assert sorted((row["stage"], row["head"]) for row in rows) == [
        ("full", 0),
        ("maps", 0),
        ("screen", 0),
        ("screen", 1),
    ]
    assert main([*flags, "--heads", "3", "--full", "3"]) == 0
    assert out.read_text().startswith(first)
    assert len(out.read_text().splitlines()) == 7
    assert "3 heads: Spearman" in capsys.readouterr().out
    assert main(["--report", str(out)]) == 0
    assert "both screens" not in capsys.readouterr().out
    assert main(["--report", str(out), str(out)]) == 0
    assert "both screens, 3 heads: Spearman 1.00" in capsys.readouterr().out
