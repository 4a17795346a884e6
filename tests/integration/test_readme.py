"""The README's lines of Python, run as they stand there."""

import re
from pathlib import Path

import pytest

from decouple_search import load_experiment

pytestmark = pytest.mark.ray
README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_ten_lines_search_evaluate_and_train(run_script, tmp_path, capsys):
    lines = next(code for code in re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
    assert len([line for line in lines.splitlines() if line]) <= 10
    run_script(lines)
    printed = capsys.readouterr().out
    experiment = load_experiment(tmp_path / "results" / "python")
    assert len(experiment.leaderboard) == 6
    best = experiment.leaderboard["val_map"][0]
    assert experiment.summary.best_val_map == best
    assert str(best) in printed.splitlines()  # evaluate measures what the search measured
    assert printed.endswith("results/python-final/best_checkpoint\n")
    assert (tmp_path / "results" / "python-final" / "best_checkpoint" / "model.safetensors").is_file()
