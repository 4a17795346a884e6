"""The report of a search: what it draws, and what is said when there is nothing to draw."""

import json

import numpy as np
import optuna
import pytest

from decouple_search.ray_tune.schedulers import Scheduler
from decouple_search.report import main
from decouple_search.results.html_page import curves, history, importances, parallel, pareto
from decouple_search.results.tables import write_tables
from decouple_search.space.yaml_file import load_space
from decouple_search.study.experiment import write_definition
from decouple_search.study.record import open_study
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError


@pytest.fixture
def experiment(space_file, tmp_path):
    """The folder and the study of a search of twelve trials, every third one stopped after an epoch."""
    space = load_space(space_file())
    config, folder = parse_config(space.base), tmp_path / "a<b"
    folder.mkdir()
    write_definition(folder, space, config, Scheduler("asha"), grid=False)
    study = open_study(folder / "study.log", space)
    rng = np.random.default_rng(0)
    for i in range(12):
        study.sampler = optuna.samplers.RandomSampler(i)
        trial = study.ask()
        point = space.suggest(trial)
        epochs = 1 if i % 3 == 2 else 3
        best = 0.5 + 0.1 * point["model.alpha"] + 0.01 * rng.random()
        for epoch in range(1, epochs + 1):
            trial.report(best - 0.1 * (epochs - epoch), epoch)
        told = {"epochs": epochs, "best_value": best, "objectives": [best], "val_map": best, "seconds": 2.0}
        for name, value in told.items():
            trial.set_user_attr(name, value)
        study.tell(trial, best if epochs == 3 else None, state=None if epochs == 3 else optuna.trial.TrialState.PRUNED)
    write_tables(folder, study, space, config)
    return folder, study


def test_the_page_and_the_lines(experiment, capsys):
    folder, _ = experiment
    (folder / "summary.json").write_text(json.dumps({"trials": 12, "note": "<script>"}))
    assert main([str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 trials: 8 COMPLETE, 4 PRUNED, 0 FAIL"
    assert len(lines) == 7
    assert lines[-1] == str(folder / "report.html")
    page = (folder / "report.html").read_text()
    assert "<h1>a&lt;b</h1>" in page
    assert "&lt;script&gt;" in page
    assert page.count("Plotly.newPlot(") == 4  # trials, curves, importances, parameters
    assert page.count("<tr>") == 1 + 12 + 2
    assert "<script src=" not in page  # it needs no network
    (folder / "summary.json").unlink()  # as while it runs
    assert main([str(folder)]) == 0


def test_what_is_drawn(experiment):
    _, study = experiment
    trials = study.trials
    figure = history(trials, "val_map", "max")
    values = [trial.user_attrs["best_value"] for trial in trials]
    assert list(figure.data[-1].y) == np.maximum.accumulate(values).tolist()
    assert [len(trace.x) for trace in figure.data] == [8, 4, 12]
    assert list(history(trials, "val_loss", "min").data[-1].y) == np.minimum.accumulate(values).tolist()
    assert [len(trace.x) for trace in curves(trials, "val_map").data] == [3, 3, 1] * 4
    bars = importances(study, "val_map").data[0]
    assert list(bars.x) == sorted(bars.x)  # the highest is drawn last, on top
    dimensions = {each.label: each for each in parallel(trials, "val_map").data[0].dimensions}
    assert {"model.alpha", "val_map"} <= dimensions.keys()
    assert list(dimensions["model.attention"].ticktext) == ["arch1", "none"]
    assert len(dimensions["log10 model.k_neg"].values) == 12  # absent ones too
    assert pareto(trials, ["val_map"], {}) == []


def test_nothing_is_drawn_of_nothing(space_file, tmp_path):
    study = open_study(tmp_path / "study.log", load_space(space_file()))
    assert history([], "val_map", "max") is curves([], "val_map") is parallel([], "val_map") is None
    assert importances(study, "val_map") is None


def test_what_is_no_search_or_cannot_be_read_is_said(experiment, tmp_path):
    folder, _ = experiment
    with pytest.raises(InputError, match="no folder is given"):
        main([])
    with pytest.raises(InputError, match="is no search's folder"):
        main([str(tmp_path)])
    (folder / "leaderboard.csv").unlink()
    with pytest.raises(InputError, match="no trial has ended yet"):
        main([str(folder)])
    (folder / "study.log").unlink()
    with pytest.raises(InputError, match="cannot be read .*give --optuna-storage if it is in a database"):
        main([str(folder)])
    with pytest.raises(InputError, match="cannot be read"):
        main([str(folder), "--optuna-storage", f"sqlite:///{tmp_path / 'none.db'}"])
