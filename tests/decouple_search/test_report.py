"""The `report` command: the lines that it prints, the page that it writes, and what it refuses."""

import json

import pytest

from decouple_search.report import main
from decouple_search.results.tables import write_tables
from decouple_search.space.yaml_file import load_space
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.ranges import note_edges
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError
from tests.decouple_search.results.studies import run_screened, write_search


@pytest.fixture
def make_experiment(space_file, tmp_path):
    """Make the folder of a search of twelve trials, of which every third one is stopped after an epoch."""

    def make(*replacements):
        folder = tmp_path / "a<b"
        write_search(folder, load_space(space_file(*replacements)))
        return folder

    return make


@pytest.fixture
def experiment(make_experiment):
    return make_experiment()


def test_the_lines_and_the_page(experiment, capsys):
    facts = {"trials": 12, "note": "<script>", **dict.fromkeys(("complete", "pruned", "failed", "epochs"), 0)}
    facts |= dict.fromkeys(("wall_seconds", "busy_fraction", "busy_fraction_warm", "best_val_map"), 0.5)
    (experiment / "summary.json").write_text(json.dumps({**facts, "best_trial_id": "0003"}))
    assert main([str(experiment)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "12 trials: 8 COMPLETE, 4 PRUNED, 0 FAIL"
    assert len(lines) == 7
    assert all("  val_map 0." in line for line in lines[1:-1])
    assert lines[-1] == str(experiment / "report.html")
    page = (experiment / "report.html").read_text()
    assert "<h1>a&lt;b</h1>" in page
    assert "&lt;script&gt;" in page
    assert page.count("Plotly.newPlot(") == 4  # trials, curves, importances, parameters
    assert page.count("<tr>") == 1 + 12 + 11
    assert "<script src=" not in page  # it needs no network


def test_screened_heads_stand_apart(space_file, tmp_path, capsys):
    space, folder = load_space(space_file()), tmp_path / "search"
    study = write_search(folder, space, trials=2)
    run_screened(study, space, (0.8, 0.9), 2)
    write_tables(folder, study, space, parse_config(space.base))
    assert main([str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 trials: 2 COMPLETE, 0 PRUNED, 0 FAIL; 1 head screened"
    assert not [line for line in lines if line.startswith("0002 ")]
    page = (folder / "report.html").read_text()
    assert "<th>trials</th><td>2</td></tr><tr><th>screened</th><td>1</td>" in page
    assert "Screened heads, on feature maps" in page


def test_a_search_that_runs_has_no_summary(experiment):
    assert main([str(experiment)]) == 0
    assert "<th>trials</th><td>12</td>" in (experiment / "report.html").read_text()


def test_the_lines_have_the_searchs_objective(make_experiment, capsys):
    experiment = make_experiment(("scheduler: {", "objective: [{metric: val_loss}]\nscheduler: {"))
    assert main([str(experiment)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:-1]
    values = [float(line.partition("  val_loss ")[2].split()[0]) for line in lines]
    assert values == sorted(values)
    assert "val_map" not in "".join(lines)
    assert "Importance for val_loss" in (experiment / "report.html").read_text()


def test_what_is_no_search_or_cannot_be_read_is_refused(experiment, tmp_path):
    with pytest.raises(InputError, match="no folder is given"):
        main([])
    with pytest.raises(InputError, match="is no search's folder"):
        main([str(tmp_path)])
    (experiment / "leaderboard.csv").unlink()
    with pytest.raises(InputError, match="no trial has ended yet"):
        main([str(experiment)])
    (experiment / "study.log").unlink()
    with pytest.raises(InputError, match="cannot be read .*give --optuna-storage if it is in a database"):
        main([str(experiment)])
    with pytest.raises(InputError, match="cannot be read"):
        main([str(experiment), "--optuna-storage", f"sqlite:///{tmp_path / 'none.db'}"])


def test_a_damaged_study_is_read_and_left_as_it_is(experiment, capsys):
    assert main([str(experiment)]) == 0
    expected = capsys.readouterr().out
    for end in (b"half a", b"[1]\n", b"\n\n", b"\0\0\n"):
        damaged = (experiment / "study.log").read_bytes() + end
        (experiment / "study.log").write_bytes(damaged)
        names = {file.name for file in experiment.iterdir()}
        assert main([str(experiment)]) == 0
        assert capsys.readouterr() == (expected, "")
        assert (experiment / "study.log").read_bytes() == damaged
        assert {file.name for file in experiment.iterdir()} == names


def test_chosen_nulls_are_in_the_lines_and_on_the_page(make_experiment, capsys):
    experiment = make_experiment(
        ("model.attention: {choice: [none, arch1]}", "train.deepspeed_config: {choice: [null, a.json]}")
    )
    assert main([str(experiment)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:-1]
    assert {line.rpartition("train.deepspeed_config ")[2].split()[0] for line in lines} == {"null", "a.json"}
    page = (experiment / "report.html").read_text()
    assert page.count("<td>null</td>") + page.count("<td>a.json</td>") == 12
    assert '"ticktext":["a.json","null"]' in page


def test_notes_of_the_search_are_printed_before_the_page(experiment, space_file, capsys):
    space = load_space(space_file())
    note_edges(open_study(experiment / "study.log", space), space, lambda edges: ["optim.lr: a note"])
    assert main([str(experiment)]) == 0
    assert capsys.readouterr().out.splitlines()[-2] == "note       optim.lr: a note"


def test_the_lines_have_the_verdict_of_the_summary(experiment, capsys):
    facts = dict.fromkeys(("trials", "complete", "pruned", "failed", "epochs"), 0)
    facts |= dict.fromkeys(("wall_seconds", "busy_fraction", "busy_fraction_warm", "best_val_map"), 0.5)
    test = {"map": 0.5, "trial_id": "0003", "epoch": 3, "images": 9}
    (experiment / "summary.json").write_text(json.dumps({**facts, "best_trial_id": "0003", "test": test}))
    assert main([str(experiment)]) == 0
    assert "test       map 0.5000 on 9 test images" in capsys.readouterr().out.splitlines()
