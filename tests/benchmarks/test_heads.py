"""All heads beside one another: the figures, and the trainings behind them."""

import json

import pytest
import torch

from benchmarks.heads import Record, Training, figures, main
from decouplenet.allocator import allocator_environment
from decouplenet.backbones import build_backbone

SPACE = """
base:
  model: {backbone: tiny, pretrained: WEIGHTS}
  data: {format: synthetic, image_size: 32, synthetic_images: 100, cache: CACHE}
  train: {epochs: 1, batch_size: 16}
search:
  optim.lr: {float: [1e-3, 1e-2], log: true}
"""


def record(stage, head, rate, seed, value, seconds=2.0):
    return Record(Training(stage, head, rate, seed), value, seconds)


def test_a_row_has_the_mean_at_the_rate_that_was_best_with_the_first_seed():
    records = [
        record("screen", "gap", 1e-3, 0, 0.5),
        record("screen", "gap", 1e-2, 0, 0.3),
        record("screen", "gap", 1e-3, 1, 0.4),
        record("screen", "csra", 1e-2, 0, 0.6),
        record("full", "csra", 1e-2, 0, 0.7, 30.0),
    ]
    rows = list(figures(records))
    assert rows[2] == "| csra | 0.01 | 0.6000 | 2.0 | 0.7000 | 30.0 |"
    assert rows[3] == "| gap | 0.001 | 0.4500 ± 0.0707 | 2.0 | - | - |"


@pytest.fixture
def environment(monkeypatch):
    """Put the variables back that the benchmark sets for its processes."""
    for name, value in allocator_environment().items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("environment")
def test_the_best_heads_and_decouplenet_are_trained_in_full_and_nothing_twice(tmp_path, capsys):
    weights, out = tmp_path / "tiny.pth", tmp_path / "out.jsonl"
    torch.save(build_backbone("tiny", pretrained=False)[0].state_dict(), weights)
    space = tmp_path / "space.yaml"
    space.write_text(SPACE.replace("WEIGHTS", str(weights)).replace("CACHE", str(tmp_path)))
    arguments = ["--space", str(space), "--heads", "gap", "csra", "decouplenet", "--rates", "1e-3", "1e-2"]
    arguments += ["--seeds", "2", "--epochs", "1", "--full", "1", "--out", str(out)]
    assert main(arguments) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    screened = [row for row in rows if row["training"]["stage"] == "screen"]
    assert len(screened) == 3 * 2 + 3
    full = {row["training"]["head"] for row in rows if row["training"]["stage"] == "full"}
    assert "decouplenet" in full
    assert len(full) in (1, 2)
    assert {row["training"]["seed"] for row in rows} == {0, 1}
    shown = capsys.readouterr().out
    assert main(arguments) == 0
    assert len(out.read_text().splitlines()) == len(rows)
    assert capsys.readouterr().out == shown
    assert main(["--report", str(out)]) == 0
    assert capsys.readouterr().out == shown


def test_a_report_of_nothing_is_refused(tmp_path):
    from decouplenet.errors import InputError

    with pytest.raises(InputError, match="no file"):
        main(["--report", str(tmp_path / "none")])
